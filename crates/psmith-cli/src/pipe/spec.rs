//! Specification of `--pipe`, as requested. Never reads the input.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::error::CliError;
use crate::flags::RawFlags;
use crate::input::{From, InputSpec};
use crate::values;

/// The size of a block, unless the user sets another.
const BLOCK_BYTES: u64 = 1 << 20;

/// The specification of `--pipe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeSpec {
    /// True with `--pipe-part`: the source is a regular file, of which jobs are given parts.
    pub part: bool,
    /// The size of a block.
    pub block: BlockSize,
    /// Where records end.
    pub cut: RecordCut,
    /// True if the first line of the source stands at the head of every block.
    pub header: bool,
    /// True if there are as many jobs as slots, and each takes blocks until the end.
    pub round_robin: bool,
    /// True if blocks are given to the slots strictly in turn.
    pub in_turn: bool,
    /// True if a job gets its block as a file, whose name is its input.
    pub cat: bool,
}

/// The size of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSize {
    /// So many bytes, or less by a part of a record, or more where a record is longer.
    Bytes(u64),
    /// A size such that each slot has so many blocks of the file.
    PerSlot(u64),
}

/// Where records end, and how many there are in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordCut {
    /// The text at the end of a record.
    pub end: Vec<u8>,
    /// The text at the beginning of a record.
    pub start: Vec<u8>,
    /// The number of records in a block; `None`: as many as fit.
    pub records: Option<u64>,
    /// The number of lines of a record, if that is what ends it.
    pub lines: Option<u64>,
    /// True if the texts of end and beginning are taken out.
    pub remove: bool,
}

/// Flags that say something about blocks.
const OF_BLOCKS: [&str; 5] = ["block", "recend", "recstart", "remove-rec-sep", "max-lines"];

/// Flags that say how inputs become arguments, which blocks do not.
const OF_INPUTS: [(&str, &str); 8] = [
    ("null", "--recend '\\0'"),
    ("delimiter", "--recend STR"),
    ("colsep", "the job splits its block itself"),
    ("csv", "--header : with one record a line"),
    ("max-args", "-N records a block"),
    ("context-replace", "--block SIZE"),
    ("xargs", "--block SIZE"),
    ("no-run-if-empty", "grep . | psmith --pipe .."),
];

/// Reads the specification from the flags; `None` without `--pipe`.
pub(crate) fn pipe(raw: &RawFlags, input: &InputSpec) -> Result<Option<PipeSpec>, CliError> {
    let part = raw.is_set("pipe-part");
    if !(part || ["pipe", "cat", "round-robin"].iter().any(|flag| raw.is_set(flag))) {
        let Some(flag) = OF_BLOCKS.iter().find(|flag| raw.is_given(flag)) else { return Ok(None) };
        if *flag == "max-lines" {
            return Err(CliError::new("-L without --pipe is left out of psmith").hint("-n N"));
        }
        return Err(CliError::new(format!("--{flag} says something about blocks"))
            .hint(format!("--pipe --{flag} ..")));
    }
    check_source(part, input)?;
    for (flag, instead) in OF_INPUTS {
        if raw.is_given(flag) {
            let name = crate::flags::named(flag);
            return Err(CliError::new(format!("{name} has no meaning with --pipe")).hint(instead));
        }
    }
    let count = |id: &str| {
        raw.value(id)
            .map(|value| values::number(&crate::flags::named(id), value, 1, u64::from(u32::MAX)))
            .transpose()
    };
    let (records, lines) = (count("max-replace-args")?, count("max-lines")?);
    let round_robin = raw.is_set("round-robin");
    if part && (records.is_some() || lines.is_some() || round_robin || raw.is_set("remove-rec-sep")) {
        return Err(CliError::new(
            "--pipe-part reads by offsets: no -N, -L, --round-robin, --remove-rec-sep",
        )
        .hint("--pipe -a FILE")
        .hint("--block -1 makes one block for each slot"));
    }
    if round_robin && raw.is_set("cat") {
        return Err(CliError::new("--round-robin and --cat: a file has an end, and blocks keep coming")
            .hint("leave out one of them"));
    }
    if round_robin && raw.value("retries").is_some_and(|tries| tries != "1") {
        return Err(CliError::new("--round-robin and --retries: what a job has read cannot be read again")
            .hint("--pipe --retries N"));
    }
    Ok(Some(PipeSpec {
        part,
        block: block(raw, part)?,
        cut: RecordCut { records, lines, ..cut(raw)? },
        header: raw.value("header").is_some(),
        round_robin,
        in_turn: raw.is_set("keep-order"),
        cat: raw.is_set("cat"),
    }))
}

/// Refuses what cannot be together with `--pipe`: a stdin from elsewhere.
pub(crate) fn refuse_with_pipe(flag: &str) -> CliError {
    CliError::new(format!("{flag} and --pipe: a job has but one stdin")).hint("leave out one of them")
}

fn check_source(part: bool, input: &InputSpec) -> Result<(), CliError> {
    if input.sources.iter().any(|source| matches!(source.from, From::Words(_))) {
        return Err(CliError::new("--pipe takes its blocks from stdin or a file, not from :::")
            .hint("psmith --pipe COMMAND < FILE")
            .hint("psmith COMMAND ::: A.. without --pipe"));
    }
    if input.sources.len() > 1 {
        return Err(CliError::new("--pipe takes one source").hint("cat FILE.. | psmith --pipe COMMAND"));
    }
    if part && input.reads_stdin() {
        return Err(CliError::new("--pipe-part needs a file").hint("--pipe-part -a FILE, or --pipe"));
    }
    if input.shuffle.is_some() {
        return Err(CliError::new("--shuf has no meaning with --pipe").hint("shuf | psmith --pipe .."));
    }
    Ok(())
}

fn block(raw: &RawFlags, part: bool) -> Result<BlockSize, CliError> {
    let Some(value) = raw.value("block") else { return Ok(BlockSize::Bytes(BLOCK_BYTES)) };
    if let Some(count) = value.as_bytes().strip_prefix(b"-") {
        if !part {
            return Err(CliError::new("--block: a number of blocks needs --pipe-part").hint("--block 1M"));
        }
        let count = OsStr::from_bytes(count);
        return values::number("--block", count, 1, u64::from(u32::MAX)).map(BlockSize::PerSlot);
    }
    match values::size("--block", value)? {
        0 => Err(CliError::new("--block: a block holds at least one byte").hint("--block 1M")),
        bytes => Ok(BlockSize::Bytes(bytes)),
    }
}

fn cut(raw: &RawFlags) -> Result<RecordCut, CliError> {
    let text = |id: &str| {
        raw.value(id).map(|value| values::unescape(&format!("--{id}"), value.as_bytes())).transpose()
    };
    let (start, end) = (text("recstart")?, text("recend")?);
    let end = match (&start, end) {
        (_, Some(end)) => end,
        (None, None) => b"\n".to_vec(),
        (Some(_), None) => Vec::new(),
    };
    let remove = raw.is_set("remove-rec-sep");
    Ok(RecordCut { end, start: start.unwrap_or_default(), records: None, lines: None, remove })
}
