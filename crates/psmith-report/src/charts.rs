//! Charts as SVG: the slots over time, the ends over time, the distribution of durations.
//!
//! Colours and fonts come from the style sheet of the page; shapes repeat what colours show (failures are hatched). A
//! chart never holds anything of a job but its number.

use std::time::Duration;

use crate::history::AttemptEnd;
use crate::history::bars::{Bar, Bars, LANES_MAX};
use crate::history::columns::{COLUMNS_MAX, Intervals};
use crate::history::durations::DurationCounts;
use crate::html::{EscapedText, put};

/// The width of the drawing in its own units; the page scales them.
const WIDTH: f64 = 1000.0;
/// The space left of the drawing area: names of lanes, numbers of the scale.
const LEFT: f64 = 56.0;
const LANE: f64 = 14.0;
const CHART: f64 = 180.0;
const AXIS: f64 = 22.0;
/// The smallest width of a bar that can be seen.
const BAR_WIDTH_MIN: f64 = 0.8;
/// The greatest number of marks on the axis of time.
const MARKS_MAX: u32 = 8;

/// An attempt that is not over.
#[derive(Clone, Copy, Debug)]
pub struct RunningAttempt {
    pub job: u64,
    pub slot: u32,
    pub began: Duration,
}

/// Draws when each slot was busy, from the beginning to `until`.
pub fn timeline(bars: &Bars, running: &[RunningAttempt], until: Duration) -> String {
    let lanes = bars.lanes();
    let busy = running.iter().map(|running| running.slot as usize).max().unwrap_or(0).min(LANES_MAX);
    let count = lanes.len().max(busy).max(1);
    let height = LANE * count as f64 + AXIS;
    let mut svg = open("Slots over time", height, "timeline");
    for index in 0..count {
        let top = index as f64 * LANE;
        if count <= 20 || index % 8 == 0 {
            put!(
                svg,
                r#"<text class="num" x="{:.0}" y="{:.1}">{}</text>"#,
                LEFT - 6.0,
                top + 11.0,
                index + 1
            );
        }
        put!(
            svg,
            r#"<rect class="lane" x="{LEFT}" y="{:.1}" width="{:.0}" height="{:.0}"/>"#,
            top + 1.0,
            WIDTH - LEFT,
            LANE - 2.0
        );
        for bar in lanes.get(index).into_iter().flatten() {
            put_bar(&mut svg, bar, top, until);
        }
    }
    for running in running.iter().filter(|running| running.slot as usize <= count) {
        put_running(&mut svg, running, until);
    }
    put_time_axis(&mut svg, height - AXIS, until);
    svg.push_str("</svg>");
    svg
}

fn put_bar(svg: &mut String, bar: &Bar, top: f64, until: Duration) {
    let x = LEFT + share(bar.began, until) * (WIDTH - LEFT);
    let width = (share(bar.ended.saturating_sub(bar.began), until) * (WIDTH - LEFT)).max(BAR_WIDTH_MIN);
    put!(
        svg,
        r#"<rect class="{}" data-job="{}" x="{x:.2}" y="{:.1}" width="{width:.2}" height="{:.0}"><title>"#,
        class(bar.worst),
        bar.job,
        top + 2.0,
        LANE - 4.0
    );
    let span = format!("{} to {}", seconds(bar.began), seconds(bar.ended));
    if bar.attempts == 1 {
        put!(svg, "job {}: {}, {}, slot {}", bar.job, word(bar.worst), span, bar.slot);
    } else {
        put!(svg, "{} attempts, {} failed, {}, slot {}", bar.attempts, bar.failed, span, bar.slot);
    }
    svg.push_str("</title></rect>");
}

fn put_running(svg: &mut String, running: &RunningAttempt, until: Duration) {
    let (job, slot) = (running.job, running.slot);
    let x = LEFT + share(running.began, until) * (WIDTH - LEFT);
    let top = f64::from(slot.saturating_sub(1)) * LANE + 2.0;
    let (width, height) = ((WIDTH - x).max(BAR_WIDTH_MIN), LANE - 4.0);
    put!(
        svg,
        r#"<rect class="running" data-job="{job}" x="{x:.2}" y="{top:.1}" width="{width:.2}" height="{height:.0}">"#
    );
    put!(svg, "<title>job {job}: running since {}, slot {slot}</title></rect>", seconds(running.began));
}

/// Draws how many jobs ended in each interval, and how many slots were busy.
pub fn throughput(columns: &Intervals, running: &[RunningAttempt], slots: u32, until: Duration) -> String {
    let mut svg = open("Jobs that ended, and slots that were busy, over time", CHART + AXIS, "throughput");
    let all = columns.columns();
    let highest = all.iter().map(|column| column.ok + column.failed).max().unwrap_or(0).max(1);
    let width = columns.width();
    put_scale(&mut svg, highest as f64 / width.as_secs_f64(), "/s");
    let unit = (CHART - 10.0) / highest as f64;
    let column_width = share(width, until) * (WIDTH - LEFT);
    for (index, column) in all.iter().enumerate() {
        let x = LEFT + index as f64 * column_width;
        let drawn = (column_width - 0.6).max(0.4).min(WIDTH - x);
        if drawn <= 0.0 || column.ok + column.failed == 0 {
            continue;
        }
        let (ok, failed) = (column.ok as f64 * unit, column.failed as f64 * unit);
        let start = width * u32::try_from(index).unwrap_or(u32::MAX);
        put!(
            svg,
            "<g><title>{} to {}: {} ok, {} failed</title>",
            seconds(start),
            seconds(start + width),
            column.ok,
            column.failed
        );
        for (class, y, height) in [("ok", CHART - ok, ok), ("failed", CHART - ok - failed, failed)] {
            if height > 0.0 {
                put!(
                    svg,
                    r#"<rect class="{class}" x="{x:.2}" y="{y:.1}" width="{drawn:.2}" height="{height:.1}"/>"#
                );
            }
        }
        svg.push_str("</g>");
    }
    put_busy(&mut svg, columns, running, slots, until);
    put_time_axis(&mut svg, CHART, until);
    svg.push_str("</svg>");
    svg
}

/// Draws the share of the slots that was busy, as a line with a point in each interval.
fn put_busy(svg: &mut String, columns: &Intervals, running: &[RunningAttempt], slots: u32, until: Duration) {
    // The columns are still narrow if no job has ended for long: then an interval spans several of them.
    let all = columns.columns();
    let width = columns.width();
    let together = until.as_nanos().div_ceil(width.as_nanos() * COLUMNS_MAX as u128).max(1);
    let together = u32::try_from(together).unwrap_or(u32::MAX);
    let stretch = width.saturating_mul(together);
    let mut points = String::new();
    let mut ended = all.chunks(together as usize).map(|some| some.iter().map(|column| column.busy).sum());
    let mut start = Duration::ZERO;
    while start < until {
        let end = start.saturating_add(stretch).min(until);
        // Attempts that are not over are not in the columns yet.
        let live = running.iter().map(|running| end.saturating_sub(running.began.max(start)));
        let busy = live.sum::<Duration>() + ended.next().unwrap_or(Duration::ZERO);
        let offered = (end - start).as_secs_f64().max(1e-9) * f64::from(slots.max(1));
        let busy = (busy.as_secs_f64() / offered).min(1.0);
        let x = LEFT + share(start + (end - start) / 2, until) * (WIDTH - LEFT);
        put!(points, "{x:.1},{:.1} ", CHART - busy * (CHART - 10.0));
        start = end;
    }
    put!(
        svg,
        r#"<polyline class="busy" points="{}"><title>busy slots</title></polyline>"#,
        points.trim_end()
    );
}

/// Draws how many jobs had which duration.
pub fn durations(counts: &DurationCounts) -> String {
    let mut svg = open("Durations of the jobs", CHART + AXIS, "durations");
    let buckets = counts.buckets();
    let highest = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
    put_scale(&mut svg, highest as f64, "");
    let width = (WIDTH - LEFT) / buckets.len().max(8) as f64;
    for (index, bucket) in buckets.iter().enumerate() {
        let x = LEFT + index as f64 * width;
        let height = bucket.count as f64 / highest as f64 * (CHART - 10.0);
        let (from, to) = (seconds(bucket.from), bucket.to.map_or("more".to_owned(), seconds));
        put!(
            svg,
            r#"<rect class="count" x="{:.1}" y="{:.1}" width="{:.1}" height="{height:.1}">"#,
            x + 1.0,
            CHART - height,
            width - 2.0
        );
        put!(svg, "<title>{from} to {to}: {} jobs</title></rect>", bucket.count);
        if width > 42.0 || index % 3 == 0 {
            put!(svg, r#"<text x="{x:.1}" y="{:.1}">{from}</text>"#, CHART + 15.0);
        }
    }
    svg.push_str("</svg>");
    svg
}

fn open(title: &str, height: f64, name: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart {name}\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         role=\"img\" aria-label=\"{title}\"><title>{title}</title><defs><pattern id=\"hatch-{name}\" width=\"4\" \
         height=\"4\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect class=\"hatch-back\" \
         width=\"4\" height=\"4\"/><rect class=\"hatch-line\" width=\"1.5\" height=\"4\"/></pattern></defs>",
        title = EscapedText(title),
    )
}

fn put_scale(svg: &mut String, highest: f64, unit: &str) {
    for part in [1.0, 0.5] {
        let y = CHART - part * (CHART - 10.0);
        put!(svg, r#"<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1}" y2="{y:.1}"/>"#);
        put!(
            svg,
            r#"<text class="num" x="{:.0}" y="{:.1}">{}{unit}</text>"#,
            LEFT - 6.0,
            y + 4.0,
            number(highest * part)
        );
    }
}

fn put_time_axis(svg: &mut String, y: f64, until: Duration) {
    put!(svg, r#"<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1}" y2="{y:.1}"/>"#);
    let step = step(until);
    for mark in 0..=MARKS_MAX {
        let at = step * mark;
        if at > until {
            break;
        }
        let x = LEFT + share(at, until) * (WIDTH - LEFT);
        put!(svg, r#"<line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{y:.1}" y2="{:.1}"/>"#, y + 4.0);
        let anchor = if x > WIDTH - 30.0 { " end" } else { "" };
        put!(svg, r#"<text class="time{anchor}" x="{x:.1}" y="{:.1}">{}</text>"#, y + 17.0, seconds(at));
    }
}

/// Returns a round step so that at most [`MARKS_MAX`] marks fit.
fn step(until: Duration) -> Duration {
    const ROUND: [u64; 3] = [1, 2, 5];
    const ROUND_SECONDS: [u64; 10] = [60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];
    let milliseconds =
        (0..5).flat_map(|power| ROUND.map(|round| Duration::from_millis(round * 10_u64.pow(power))));
    let below_a_minute = milliseconds.filter(|step| *step < Duration::from_secs(60));
    let mut steps = below_a_minute.chain(ROUND_SECONDS.map(Duration::from_secs));
    let days = until / MARKS_MAX + Duration::from_secs(1);
    steps.find(|step| *step * MARKS_MAX >= until).unwrap_or(days)
}

fn share(part: Duration, whole: Duration) -> f64 {
    let whole = whole.as_secs_f64();
    if whole > 0.0 { (part.as_secs_f64() / whole).min(1.0) } else { 0.0 }
}

fn class(end: AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Ok => "ok",
        AttemptEnd::Cut => "cut",
        AttemptEnd::Retried => "retried",
        AttemptEnd::Failed => "failed",
    }
}

fn word(end: AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Ok => "ok",
        AttemptEnd::Cut => "cut short",
        AttemptEnd::Retried => "failed, tried again",
        AttemptEnd::Failed => "failed",
    }
}

/// Formats a time as charts and tables show it: `0`, `40ms`, `1.25s`, `12.5s`, `3m20s`, `2h05m`.
pub fn seconds(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let trimmed = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned() + "s";
    match milliseconds {
        0 if time.is_zero() => "0".to_owned(),
        0..1000 => {
            let text = format!("{:.1}", time.as_secs_f64() * 1000.0);
            text.strip_suffix(".0").unwrap_or(&text).to_owned() + "ms"
        }
        1000..10_000 => trimmed(format!("{:.2}", time.as_secs_f64())),
        10_000..60_000 => trimmed(format!("{:.1}", time.as_secs_f64())),
        _ => crate::duration::whole(time.as_secs()),
    }
}

fn number(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
