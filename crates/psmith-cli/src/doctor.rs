//! The command `psmith doctor`: the facilities that this machine offers psmith, and remedies for missing ones. Probes
//! and prints; makes no lasting change.

use std::io::{self, Write};

use psmith_engine::facilities::{Facility, facilities};
use serde::Serialize;

/// The exit code if no facility is missing.
pub const USABLE: u8 = 0;

/// The exit code if jobs run, but are held, limited or contained less well than they could be.
pub const DEGRADED: u8 = 1;

/// The column at which lines of explanation begin.
const INDENT: usize = 10;

/// Probes everything and writes the findings, for people or as one JSON object; returns the exit code of the command.
///
/// # Errors
///
/// Fails if `out` cannot be written.
pub fn doctor(json: bool, out: &mut impl Write) -> io::Result<u8> {
    let found = facilities();
    if json {
        write_json(&found, out)?;
    } else {
        write_table(&found, out)?;
    }
    out.flush()?;
    Ok(exit_code(&found))
}

fn exit_code(found: &[Facility]) -> u8 {
    if found.iter().any(Facility::is_wanting) { DEGRADED } else { USABLE }
}

fn verdict(found: &[Facility]) -> &'static str {
    if exit_code(found) == USABLE { "usable" } else { "degraded" }
}

fn write_table(found: &[Facility], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "psmith {}: {}", env!("CARGO_PKG_VERSION"), verdict(found))?;
    let wanting: Vec<&str> =
        found.iter().filter(|facility| facility.is_wanting()).map(|facility| facility.name).collect();
    if !wanting.is_empty() {
        writeln!(out, "wanting: {}", wanting.join(", "))?;
    }
    writeln!(out)?;
    let width = found.iter().map(|facility| facility.name.len()).max().unwrap_or(0);
    for facility in found {
        let reason = facility.state.reason();
        let what = match (reason, facility.found.as_str()) {
            (Some(reason), _) => reason,
            (None, "") => facility.gives,
            (None, found) => found,
        };
        writeln!(out, "{:<INDENT$}{:<width$}  {what}", facility.state.word(), facility.name)?;
        if reason.is_some() {
            let dispensable = if facility.needed { "" } else { " (not needed)" };
            writeln!(out, "{:INDENT$}{:width$}  for: {}{dispensable}", "", "", facility.gives)?;
        }
        if let Some(remedy) = &facility.remedy {
            writeln!(out, "{:INDENT$}{:width$}  remedy: {remedy}", "", "")?;
        }
    }
    Ok(())
}

/// The form for programs. Names are added to it, never removed.
#[derive(Serialize)]
struct Report<'a> {
    v: u32,
    psmith: &'a str,
    verdict: &'a str,
    facilities: Vec<FacilityRow<'a>>,
}

#[derive(Serialize)]
struct FacilityRow<'a> {
    name: &'a str,
    state: &'a str,
    found: &'a str,
    reason: Option<&'a str>,
    gives: &'a str,
    remedy: Option<&'a str>,
    needed: bool,
}

fn write_json(found: &[Facility], out: &mut impl Write) -> io::Result<()> {
    let report = Report {
        v: 1,
        psmith: env!("CARGO_PKG_VERSION"),
        verdict: verdict(found),
        facilities: found.iter().map(FacilityRow::of).collect(),
    };
    serde_json::to_writer(&mut *out, &report)?;
    writeln!(out)
}

impl<'a> FacilityRow<'a> {
    fn of(facility: &'a Facility) -> FacilityRow<'a> {
        FacilityRow {
            name: facility.name,
            state: facility.state.word(),
            found: &facility.found,
            reason: facility.state.reason(),
            gives: facility.gives,
            remedy: facility.remedy.as_deref(),
            needed: facility.needed,
        }
    }
}

#[cfg(test)]
mod tests {
    use psmith_engine::facilities::FacilityState;

    use super::*;

    fn sample() -> Vec<Facility> {
        let works = Facility {
            name: "containment",
            state: FacilityState::Works,
            found: "runs are held by cgroup".into(),
            gives: "what a run has",
            remedy: None,
            needed: true,
        };
        let missing = Facility {
            name: "--cpus",
            state: FacilityState::Missing("no controller".into()),
            found: String::new(),
            gives: "a share is bounded",
            remedy: Some("systemd-run ..".into()),
            needed: true,
        };
        let degraded = Facility {
            name: "close_range",
            state: FacilityState::Degraded("one by one".into()),
            needed: false,
            ..missing.clone()
        };
        vec![works, missing, degraded]
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_shows_states_reasons_and_remedies() {
        let table = written(|out| write_table(&sample(), out));
        let expected = concat!(
            "psmith ",
            env!("CARGO_PKG_VERSION"),
            ": degraded\n",
            "wanting: --cpus\n",
            "\n",
            "works     containment  runs are held by cgroup\n",
            "missing   --cpus       no controller\n",
            "                       for: a share is bounded\n",
            "                       remedy: systemd-run ..\n",
            "degraded  close_range  one by one\n",
            "                       for: a share is bounded (not needed)\n",
            "                       remedy: systemd-run ..\n",
        );
        assert_eq!(table, expected);
    }

    #[test]
    fn the_object_has_every_facility_with_every_name() {
        let text = written(|out| write_json(&sample()[1..2], out));
        let expected = concat!(
            r#"{"v":1,"psmith":""#,
            env!("CARGO_PKG_VERSION"),
            r#"","verdict":"degraded","facilities":[{"name":"--cpus","state":"missing","found":"","#,
            r#""reason":"no controller","gives":"a share is bounded","remedy":"systemd-run ..","needed":true}]}"#,
            "\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn only_what_is_needed_makes_a_machine_degraded() {
        let mut sample = sample();
        assert_eq!(exit_code(&sample), DEGRADED);
        sample.remove(1);
        assert_eq!(exit_code(&sample), USABLE, "there is a way round what is left");
    }
}
