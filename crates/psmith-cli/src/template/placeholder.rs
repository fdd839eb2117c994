//! One replacement string: which value, in which form.

/// A place where a value is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    /// The string as it was typed, for messages.
    pub(crate) typed: Vec<u8>,
    pub(crate) kind: ValueKind,
}

/// Which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// All inputs of the job.
    Inputs(Form),
    /// One of them, from 0.
    Nth(u32, Form),
    /// The job's number.
    Job,
    /// The slot's number.
    Slot,
    /// The number of jobs.
    Total,
    /// The job's number, with as many digits as the number of jobs has.
    PaddedJob,
}

impl ValueKind {
    /// Whether the value is a number of psmith's own.
    pub(crate) fn is_number(&self) -> bool {
        !matches!(self, ValueKind::Inputs(_) | ValueKind::Nth(..))
    }
}

/// In which form. The names are those of the path's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `{}`
    Whole,
    /// `{.}`
    NoExtension,
    /// `{/}`
    Base,
    /// `{//}`
    Directory,
    /// `{/.}`
    BaseNoExtension,
    /// `{..}`
    NoTwoExtensions,
    /// `{/..}`
    BaseNoTwoExtensions,
    /// `{+/}`
    DirectoryOrNothing,
    /// `{+.}`
    Extension,
    /// `{+..}`
    TwoExtensions,
    /// `{%x}`
    NoEnd(Vec<u8>),
    /// `{#x}`
    NoStart(Vec<u8>),
    /// `{:-x}`
    Default(Vec<u8>),
}

impl Form {
    /// The form that this suffix of a replacement string asks for.
    pub(crate) fn parse(suffix: &[u8]) -> Option<Form> {
        // No path ends or begins with a line feed on purpose; a block of awk or shell may well.
        if suffix.contains(&b'\n') {
            return None;
        }
        Some(match suffix {
            b"" => Form::Whole,
            b"." => Form::NoExtension,
            b"/" => Form::Base,
            b"//" => Form::Directory,
            b"/." => Form::BaseNoExtension,
            b".." => Form::NoTwoExtensions,
            b"/.." => Form::BaseNoTwoExtensions,
            b"+/" => Form::DirectoryOrNothing,
            b"+." => Form::Extension,
            b"+.." => Form::TwoExtensions,
            [b'%', end @ ..] if !end.is_empty() => Form::NoEnd(end.to_vec()),
            [b'#', start @ ..] if !start.is_empty() => Form::NoStart(start.to_vec()),
            [b':', b'-', value @ ..] => Form::Default(value.to_vec()),
            _ => return None,
        })
    }

    /// The value in this form.
    pub(crate) fn of<'a>(&'a self, value: &'a [u8]) -> &'a [u8] {
        match self {
            Form::Whole => value,
            Form::NoExtension => &value[..extension_start(value)],
            Form::Base => base(value),
            Form::Directory => directory(value),
            Form::BaseNoExtension => {
                let base = base(value);
                &base[..extension_start(base)]
            }
            Form::NoTwoExtensions => &value[..two_extensions_start(value)],
            Form::BaseNoTwoExtensions => {
                let base = base(value);
                &base[..two_extensions_start(base)]
            }
            Form::DirectoryOrNothing => memchr::memrchr(b'/', value).map_or(b"", |slash| &value[..slash]),
            Form::Extension => value.get(extension_start(value) + 1..).unwrap_or_default(),
            Form::TwoExtensions => value.get(two_extensions_start(value) + 1..).unwrap_or_default(),
            Form::NoEnd(end) => value.strip_suffix(&end[..]).unwrap_or(value),
            Form::NoStart(start) => value.strip_prefix(&start[..]).unwrap_or(value),
            Form::Default(instead) if value.is_empty() => instead,
            Form::Default(_) => value,
        }
    }
}

fn base(value: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', value).map_or(value, |slash| &value[slash + 1..])
}

/// Where the last extension begins, with its point; the end if there is none. A point at the very end begins none.
fn extension_start(value: &[u8]) -> usize {
    let base_start = value.len() - base(value).len();
    match memchr::memrchr(b'.', &value[base_start..]) {
        Some(point) if base_start + point + 1 < value.len() => base_start + point,
        _ => value.len(),
    }
}

/// Where the last two extensions begin; the end if there are not two.
fn two_extensions_start(value: &[u8]) -> usize {
    let last = extension_start(value);
    match extension_start(&value[..last]) {
        before if before < last => before,
        _ => value.len(),
    }
}

fn directory(value: &[u8]) -> &[u8] {
    let trim = |path: &'_ [u8]| path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    let path = &value[..trim(value)];
    if path.is_empty() {
        return if value.is_empty() { b"." } else { b"/" };
    }
    let Some(slash) = memchr::memrchr(b'/', path) else { return b"." };
    match trim(&path[..slash]) {
        0 => b"/",
        end => &path[..end],
    }
}
