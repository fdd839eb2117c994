//! The board of a run on a real terminal: the emulated screen, the effects of keys, the terminal afterwards.

use std::num::NonZeroU16;
use std::time::Instant;

use psmith_testkit::pty::{OnTerminal, ShellReport};
use psmith_testkit::{OUTER_LIMIT, Scene, scene, wicked};
use vt100::{Parser, Screen};

/// A command on a terminal whose screen is emulated.
struct OnScreen {
    terminal: OnTerminal,
    parser: Parser,
    seen: usize,
}

impl OnScreen {
    fn start(scene: &Scene, args: &[&str]) -> OnScreen {
        OnScreen::start_with(scene, args, &[])
    }

    fn start_with(scene: &Scene, args: &[&str], variables: &[(&str, &str)]) -> OnScreen {
        OnScreen::of(OnTerminal::start(scene, args, variables))
    }

    fn of(terminal: OnTerminal) -> OnScreen {
        OnScreen { terminal, parser: Parser::new(number(24), number(80), 1000), seen: 0 }
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.terminal.resize(columns, rows);
        self.parser.screen_mut().set_size(number(rows), number(columns));
    }

    /// Waits until the condition holds for the screen, and returns its lines that are not blank.
    #[track_caller]
    fn wait_until(&mut self, what: &str, is_so: impl Fn(&Screen) -> bool) -> Vec<String> {
        let deadline = Instant::now() + OUTER_LIMIT;
        while !is_so(self.parser.screen()) {
            assert!(Instant::now() < deadline, "never {what}:\n{}", self.parser.screen().contents());
            let bytes = self.terminal.shown_after(self.seen);
            self.seen += bytes.len();
            self.parser.process(&bytes);
        }
        let contents = self.parser.screen().contents();
        contents
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) -> Vec<String> {
        self.wait_until(text, |screen| screen.contents().contains(text))
    }

    /// Waits for the end of the command, and asserts that the terminal is as it was.
    #[track_caller]
    fn end(&mut self, expected: &ShellReport) {
        assert_eq!(self.terminal.next_report(), *expected);
        self.wait_for("psmith: ");
        assert!(self.terminal.is_cooked(), "echo and lines are back");
        let screen = self.parser.screen();
        assert!(!screen.hide_cursor() && !screen.alternate_screen());
    }

    /// Returns all lines, those above the screen first.
    fn transcript(&mut self) -> Vec<String> {
        let screen = self.parser.screen_mut();
        let columns = screen.size().1.get();
        screen.set_scrollback(usize::MAX);
        let mut lines = Vec::new();
        for offset in (1..=screen.scrollback()).rev() {
            screen.set_scrollback(offset);
            lines.extend(screen.rows(0, columns).next());
        }
        screen.set_scrollback(0);
        lines.extend(screen.rows(0, columns));
        lines.into_iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }
}

fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// A job that prints a word and waits for a file.
const WAITS: &str = "echo word {}; while [ ! -e go ]; do sleep 0.02; done; echo end {}";

// proves: F-49
#[test]
fn eight_workers_on_a_terminal_that_is_resized() {
    let scene = scene!();
    let mut words = vec!["-j8", "-k", "--retries", "2", "-s", WAITS, ":::"];
    words.extend(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    let mut screen = OnScreen::start(&scene, &words);
    screen.resize(200, 50);
    let wide = screen.wait_until("eight rows", |screen| {
        let contents = screen.contents();
        contents.matches(": word ").count() == 8 && contents.contains("running 8")
    });
    assert_eq!(wide[0], "  slot  job   try   time    rss   cpu   last line");
    assert_eq!(wide.len(), 10, "{wide:#?}");
    assert!(wide[1].starts_with("     1  #1    1/2"), "{wide:#?}");
    assert_eq!(wide[9], " 0/10  ok 0  running 8");
    screen.resize(30, 5);
    let small = screen.wait_until("small", |screen| {
        screen.contents().contains("... and 8 more") || screen.contents().contains("... and 7 more")
    });
    assert!(small.len() <= 4 && small.iter().all(|line| line.chars().count() <= 30), "{small:#?}");
    assert_eq!(small.last().unwrap(), " 0/10  ok 0  running 8");
    screen.resize(200, 50);
    let again = screen.wait_until("wide again", |screen| screen.contents().matches(": word ").count() == 8);
    assert_eq!(again.len(), 10, "the board is there once: {again:#?}");
    scene.write("go", "");
    screen.end(&ShellReport::Exited(0));
    screen.wait_for("10 ok");
    // Everything that the jobs wrote, once, in order; of the board its last line.
    let lines = screen.transcript();
    let expected: Vec<String> =
        ('a'..='j').flat_map(|job| [format!("word {job}"), format!("end {job}")]).collect();
    assert_eq!(lines[..20], expected, "{lines:#?}");
    assert!(lines[20].starts_with("10/10  ok 10"), "{lines:#?}");
    assert!(lines[21].starts_with("psmith: 10 jobs in "), "{lines:#?}");
}

// proves: F-17, SEC-web-output
#[test]
fn escape_codes_of_a_job_are_shown_and_not_obeyed() {
    let scene = scene!();
    let script =
        format!("{} escape-sequences; while [ ! -e go ]; do sleep 0.02; done # {{}}", wicked().display());
    let mut screen = OnScreen::start(&scene, &["--show", "none", "-s", &script, ":::", "a"]);
    screen.resize(200, 24);
    let lines = screen.wait_for("\\x1b");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    scene.write("go", "");
    screen.end(&ShellReport::Exited(0));
}

// proves: F-46
#[test]
fn ctrl_c_leaves_the_last_line_of_the_board() {
    let scene = scene!();
    let mut screen = OnScreen::start(&scene, &["-j2", "-s", WAITS, ":::", "a", "b", "c"]);
    screen.wait_for("running 2");
    screen.terminal.type_keys(b"\x03");
    screen.end(&ShellReport::Signaled(2));
    screen.wait_for("1 left");
    let lines = screen.transcript();
    assert!(lines.iter().any(|line| line.starts_with("0/3  ok 0")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("last line")), "the rows are gone: {lines:#?}");
}

// proves: F-48
#[test]
fn ctrl_z_takes_the_board_away_and_fg_brings_it_back() {
    let scene = scene!();
    let mut screen = OnScreen::start(&scene, &["-j2", "-s", WAITS, ":::", "a", "b"]);
    for _ in 0..3 {
        screen.wait_for("running 2");
        screen.terminal.type_keys(b"\x1a");
        assert!(matches!(screen.terminal.next_report(), ShellReport::Stopped(_)));
        assert!(screen.terminal.is_cooked());
        screen.wait_until("an empty screen", |screen| screen.contents().trim().is_empty());
        screen.terminal.foreground();
        let lines = screen.wait_for("running 2");
        assert_eq!(lines.len(), 4, "{lines:#?}");
    }
    scene.write("go", "");
    screen.end(&ShellReport::Exited(0));
}

/// A job that waits for a file of its own, so that jobs can be ended one by one.
const WAITS_FOR_ITS_OWN: &str = "echo word {}; while [ ! -e go{} ]; do sleep 0.02; done; echo end {}";

// proves: F-48
#[test]
fn bg_takes_board_and_keys_away_and_fg_brings_both_back() {
    let scene = scene!();
    let words = ["-j3", "-s", WAITS_FOR_ITS_OWN, ":::", "a", "b", "c"];
    let mut screen = OnScreen::start(&scene, &words);
    screen.wait_for("running 3");
    screen.terminal.type_keys(b"\x1a");
    assert!(matches!(screen.terminal.next_report(), ShellReport::Stopped(_)));
    screen.wait_until("an empty screen", |screen| screen.contents().trim().is_empty());
    screen.terminal.background();
    // It continues, and jobs' output is written: but the terminal is the shell's, and so are its keys.
    for job in ["a", "b"] {
        scene.write(format!("go{job}"), "");
        let lines = screen.wait_for(&format!("end {job}"));
        assert!(!lines.iter().any(|line| line.contains("running")), "{lines:#?}");
        assert!(screen.terminal.is_cooked());
    }
    screen.terminal.foreground();
    screen.wait_for("running 1");
    screen.terminal.type_keys(b"t");
    screen.wait_for("        | word c");
    screen.terminal.type_keys(b"p");
    screen.wait_for("psmith: paused");
    scene.write("goc", "");
    screen.end(&ShellReport::Exited(0));
}

// proves: F-48
#[test]
fn a_run_begun_in_the_background_gets_board_and_keys_with_fg() {
    let scene = scene!();
    let words = ["-j2", "-s", WAITS_FOR_ITS_OWN, ":::", "a", "b"];
    let mut screen = OnScreen::of(OnTerminal::start_in_background(&scene, &words, &[]));
    scene.write("goa", "");
    let lines = screen.wait_for("end a");
    // Then the last job's line comes, as soon as it is the last.
    assert_eq!(lines[..2], ["word a", "end a"], "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("running")), "{lines:#?}");
    assert!(screen.terminal.is_cooked());
    screen.terminal.foreground();
    screen.wait_for("running 1");
    screen.terminal.type_keys(b"d");
    screen.wait_for("psmith: draining");
    scene.write("gob", "");
    screen.end(&ShellReport::Exited(0));
}

// A line that is not ended continues where it was, with the board below it.
#[test]
fn a_line_that_is_not_ended_stays_above_the_board() {
    let scene = scene!();
    let script = "printf part; while [ ! -e go ]; do sleep 0.02; done; echo ial {}";
    let mut screen = OnScreen::start(&scene, &["-k", "-s", script, ":::", "a"]);
    let lines = screen.wait_for("running 1");
    assert_eq!(lines[0], "part", "{lines:#?}");
    assert!(lines[2].ends_with(": part"), "{lines:#?}");
    assert_eq!(screen.parser.screen().cursor_position(), (0, 4));
    scene.write("go", "");
    screen.end(&ShellReport::Exited(0));
    assert_eq!(screen.transcript()[0], "partial a");
}

#[test]
fn rows_are_as_many_as_asked_for() {
    let scene = scene!();
    let words = ["-j6", "--rows", "3", "-s", WAITS, ":::", "a", "b", "c", "d", "e", "f"];
    let mut screen = OnScreen::start(&scene, &words);
    let lines = screen.wait_for("running 6");
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert_eq!(lines[3], " ... and 4 more");
    scene.write("go", "");
    screen.end(&ShellReport::Exited(0));
}

#[test]
fn keys_do_as_the_manual_says() {
    let scene = scene!();
    let script = "echo word {}; [ {} != bad ] || exit 3; while [ ! -e go ]; do sleep 0.02; done";
    let words = ["-j2", "--events", "e", "-s", script, ":::", "bad", "b", "c", "d", "e", "f"];
    let mut screen = OnScreen::start(&scene, &words);
    screen.resize(120, 50);
    screen.wait_for("failed 1  running 2");
    screen.terminal.type_keys(b"?");
    screen.wait_for("psmith: keys: t running jobs");
    screen.terminal.type_keys(b"t");
    screen.wait_for("        | word b");
    screen.terminal.type_keys(b"f");
    screen.wait_for("psmith: 1 failed so far\n  #1  exit 3");
    screen.terminal.type_keys(b"p+");
    screen.wait_for("psmith: paused");
    screen.wait_for("psmith: 3 slots");
    screen.wait_for("running 2  held: paused");
    screen.terminal.type_keys(b"p");
    screen.wait_for("running 3");
    screen.terminal.type_keys(b"--");
    screen.wait_for("psmith: 1 slot\n");
    screen.terminal.type_keys(b"xyzd");
    screen.wait_for("psmith: draining");
    assert!(!screen.parser.screen().contents().contains("xyz"), "keys are not echoed");
    scene.write("go", "");
    screen.end(&ShellReport::Exited(1));
    let events = psmith_testkit::records::RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    assert_eq!(events.run_end()["left"], 2, "what was not begun when it was drained");
    let widths: Vec<_> =
        events.named("width").iter().map(|width| (width["slots"].as_u64(), width["by"].clone())).collect();
    assert_eq!(widths, [(Some(3), "key".into()), (Some(2), "key".into()), (Some(1), "key".into())]);
}

#[test]
fn colours_are_words_too_and_can_be_left_out() {
    for (variables, flags, is_yellow) in [
        (&[][..], &[][..], true),
        (&[("NO_COLOR", "1")][..], &[][..], false),
        (&[("NO_COLOR", "1")][..], &["--color", "always"][..], true),
        (&[][..], &["--color", "never"][..], false),
    ] {
        let scene = scene!();
        let mut words = flags.to_vec();
        words.extend(["--slow", "0.1", "-s", WAITS, ":::", "a"]);
        let mut screen = OnScreen::start_with(&scene, &words, variables);
        screen.wait_for("(slow) echo");
        let contents = screen.parser.screen().contents();
        let row = contents.lines().position(|line| line.contains("(slow) echo")).unwrap();
        let cell = screen.parser.screen().cell(u16::try_from(row).unwrap(), 5).unwrap().clone();
        assert_eq!(cell.contents(), "1", "{contents}");
        assert_eq!(cell.fgcolor() == vt100::Color::Idx(3), is_yellow, "{variables:?} {flags:?}");
        scene.write("go", "");
        screen.end(&ShellReport::Exited(0));
    }
}
