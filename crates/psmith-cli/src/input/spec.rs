//! Specification of inputs: their sources and how they are split, as requested. Never opens a source.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use regex::bytes::Regex;

use crate::error::CliError;
use crate::flags::{RawFlags, is_source_marker};
use crate::quote::shown;
use crate::values;

/// The sources of inputs and how they are split.
#[derive(Clone, Debug)]
pub struct InputSpec {
    /// The sources, in order; never empty.
    pub sources: Vec<Source>,
    /// The end of an input.
    pub separator: Vec<u8>,
    /// The splitting of an input into columns.
    pub columns: ColumnSplit,
    /// True if the first input of each source names its columns.
    pub header: bool,
    /// True if empty inputs are skipped.
    pub skip_empty: bool,
    /// True if a zipped source that ends before others begins again.
    pub wrap: bool,
    /// Random order: `Some(None)` without a seed.
    pub shuffle: Option<Option<u64>>,
}

/// A source of inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The origin of its inputs.
    pub from: From,
    /// True if it is zipped with the source before instead of multiplied.
    pub linked: bool,
}

/// The origin of a source's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Words of the command line.
    Words(Vec<OsString>),
    /// The standard input of psmith.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// The splitting of an input into columns.
#[derive(Clone, Debug)]
pub enum ColumnSplit {
    /// One column.
    Whole,
    /// Columns between matches of this expression.
    Regex(Regex),
    /// Columns between occurrences of this text.
    Literal(Vec<u8>),
    /// Columns of CSV with this separator.
    Csv(u8),
}

impl InputSpec {
    /// Returns whether inputs are read from stdin.
    #[must_use]
    pub fn reads_stdin(&self) -> bool {
        self.sources.iter().any(|source| source.from == From::Stdin)
    }

    /// Returns the number of columns, if the sources alone determine it.
    pub(crate) fn columns_known(&self) -> Option<u64> {
        matches!(self.columns, ColumnSplit::Whole).then_some(self.sources.len() as u64)
    }
}

/// The words of the command, and the groups of words behind `:::` and the like.
pub(crate) type Split = (Vec<OsString>, Vec<Source>);

/// Takes the sources off the end of the command.
pub(crate) fn split_sources(mut words: Vec<OsString>) -> Result<Split, CliError> {
    let Some(first) = words.iter().position(|word| is_source_marker(word)) else {
        return Ok((words, Vec::new()));
    };
    let mut sources: Vec<Source> = Vec::new();
    let mut rest = words.split_off(first).into_iter().peekable();
    while let Some(marker) = rest.next() {
        let linked = marker.as_bytes().ends_with(b"+");
        let files = marker.as_bytes().starts_with(b"::::");
        let mut group = Vec::new();
        while let Some(word) = rest.next_if(|word| !is_source_marker(word)) {
            group.push(word);
        }
        if !files {
            sources.push(Source { from: From::Words(group), linked });
        } else if group.is_empty() {
            return Err(CliError::new(format!("{} names no file", marker.display()))
                .hint(":::: FILE, or :::: - for stdin"));
        } else {
            sources.extend(group.into_iter().map(|file| Source { from: file_or_stdin(file), linked }));
        }
    }
    Ok((words, sources))
}

fn file_or_stdin(name: OsString) -> From {
    if name == "-" { From::Stdin } else { From::File(PathBuf::from(name)) }
}

/// Reads the specification of the input from the flags.
pub(crate) fn input(raw: &RawFlags, groups: Vec<Source>) -> Result<InputSpec, CliError> {
    let files =
        raw.values("arg-file").map(|file| Source { from: file_or_stdin(file.clone()), linked: false });
    let mut sources: Vec<Source> = files.chain(groups).collect();
    if sources.is_empty() {
        sources.push(Source { from: From::Stdin, linked: false });
    }
    let wrap = raw.is_set("link");
    if wrap {
        sources.iter_mut().skip(1).for_each(|source| source.linked = true);
    }
    if sources[0].linked {
        return Err(
            CliError::new("the first source has none before it to be zipped with").hint("::: A.. :::+ B..")
        );
    }
    if sources.iter().filter(|source| source.from == From::Stdin).count() > 1 {
        return Err(CliError::new("stdin is named twice as a source")
            .hint("each source once; ::: A.. :::+ A.. repeats words"));
    }
    let separator = separator(raw)?;
    let columns = columns(raw)?;
    if matches!(columns, ColumnSplit::Csv(_)) && separator != b"\n" {
        return Err(CliError::new("--csv knows where its records end").hint("leave out -0 and -d"));
    }
    Ok(InputSpec {
        sources,
        separator,
        columns,
        header: header(raw)?,
        wrap,
        skip_empty: raw.is_set("no-run-if-empty"),
        shuffle: shuffle(raw)?,
    })
}

fn separator(raw: &RawFlags) -> Result<Vec<u8>, CliError> {
    if raw.is_set("null") {
        return Ok(vec![0]);
    }
    let Some(value) = raw.value("delimiter") else { return Ok(vec![b'\n']) };
    let separator = values::unescape("-d", value.as_bytes())?;
    if separator.is_empty() {
        return Err(CliError::new("-d: the separator is empty").hint(r"-d '\n', -d , or -0"));
    }
    Ok(separator)
}

fn columns(raw: &RawFlags) -> Result<ColumnSplit, CliError> {
    let colsep = raw.value("colsep");
    if raw.is_set("csv") {
        let Some(colsep) = colsep else { return Ok(ColumnSplit::Csv(b',')) };
        return match values::unescape("--colsep", colsep.as_bytes())?[..] {
            [byte] => Ok(ColumnSplit::Csv(byte)),
            _ => Err(CliError::new(format!(
                "--colsep: '{}' is not one byte, as --csv needs",
                shown(colsep.as_bytes())
            ))
            .hint(r"--csv --colsep ';', or --colsep '\t'")),
        };
    }
    let Some(colsep) = colsep else { return Ok(ColumnSplit::Whole) };
    let pattern = values::text("--colsep", colsep)?;
    if pattern.is_empty() {
        return Err(CliError::new("--colsep: the separator is empty").hint(r"--colsep , or --colsep '\t'"));
    }
    if regex::escape(pattern) == pattern {
        return Ok(ColumnSplit::Literal(pattern.as_bytes().to_vec()));
    }
    Regex::new(pattern).map(ColumnSplit::Regex).map_err(|_| {
        CliError::new(format!("--colsep: '{}' is not a regular expression", shown(pattern.as_bytes())))
            .hint(format!("--colsep '{}' for the text itself", shown(regex::escape(pattern).as_bytes())))
    })
}

fn header(raw: &RawFlags) -> Result<bool, CliError> {
    match raw.value("header") {
        None => Ok(false),
        Some(value) if value == ":" => Ok(true),
        Some(value) => Err(CliError::new(format!("--header: '{}' is not ':'", shown(value.as_bytes())))
            .hint("--header : takes the first line")),
    }
}

fn shuffle(raw: &RawFlags) -> Result<Option<Option<u64>>, CliError> {
    let Some(seed) = raw.value("shuf") else { return Ok(None) };
    if seed == OsStr::new("") {
        return Ok(Some(None));
    }
    values::number("--shuf", seed, 0, u64::MAX).map(|seed| Some(Some(seed)))
}
