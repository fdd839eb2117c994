//! Placeholder (replacement string): a value and its form. Never reads the value.

/// A place where a value is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    /// The string as it was typed, for messages.
    pub(crate) typed: Vec<u8>,
    pub(crate) kind: ValueKind,
}

/// The value that is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// The inputs of the job.
    Inputs(ValueForm),
    /// The input at this position, from 0.
    Nth(u32, ValueForm),
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
    /// Returns whether the value is a number of psmith's own.
    pub(crate) fn is_number(&self) -> bool {
        !matches!(self, ValueKind::Inputs(_) | ValueKind::Nth(..))
    }
}

/// The form of a value. The names are those of the path's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
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

impl ValueForm {
    /// Returns the form that this suffix of a replacement string selects.
    pub(crate) fn parse(suffix: &[u8]) -> Option<ValueForm> {
        // No path begins or ends with a line feed on purpose; a block of awk or shell may well.
        if suffix.contains(&b'\n') {
            return None;
        }
        Some(match suffix {
            b"" => ValueForm::Whole,
            b"." => ValueForm::NoExtension,
            b"/" => ValueForm::Base,
            b"//" => ValueForm::Directory,
            b"/." => ValueForm::BaseNoExtension,
            b".." => ValueForm::NoTwoExtensions,
            b"/.." => ValueForm::BaseNoTwoExtensions,
            b"+/" => ValueForm::DirectoryOrNothing,
            b"+." => ValueForm::Extension,
            b"+.." => ValueForm::TwoExtensions,
            [b'%', end @ ..] if !end.is_empty() => ValueForm::NoEnd(end.to_vec()),
            [b'#', start @ ..] if !start.is_empty() => ValueForm::NoStart(start.to_vec()),
            [b':', b'-', value @ ..] => ValueForm::Default(value.to_vec()),
            _ => return None,
        })
    }

    /// Returns whether the suffix is text of the user's, which another language may have meant.
    pub(crate) fn holds_text(&self) -> bool {
        matches!(self, ValueForm::NoEnd(_) | ValueForm::NoStart(_) | ValueForm::Default(_))
    }

    /// Returns the value in this form.
    pub(crate) fn of<'a>(&'a self, value: &'a [u8]) -> &'a [u8] {
        match self {
            ValueForm::Whole => value,
            ValueForm::NoExtension => &value[..extension_start(value)],
            ValueForm::Base => base(value),
            ValueForm::Directory => directory(value),
            ValueForm::BaseNoExtension => {
                let base = base(value);
                &base[..extension_start(base)]
            }
            ValueForm::NoTwoExtensions => &value[..two_extensions_start(value)],
            ValueForm::BaseNoTwoExtensions => {
                let base = base(value);
                &base[..two_extensions_start(base)]
            }
            ValueForm::DirectoryOrNothing => {
                memchr::memrchr(b'/', value).map_or(b"", |slash| &value[..slash])
            }
            ValueForm::Extension => value.get(extension_start(value) + 1..).unwrap_or_default(),
            ValueForm::TwoExtensions => value.get(two_extensions_start(value) + 1..).unwrap_or_default(),
            ValueForm::NoEnd(end) => value.strip_suffix(&end[..]).unwrap_or(value),
            ValueForm::NoStart(start) => value.strip_prefix(&start[..]).unwrap_or(value),
            ValueForm::Default(instead) if value.is_empty() => instead,
            ValueForm::Default(_) => value,
        }
    }
}

fn base(value: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', value).map_or(value, |slash| &value[slash + 1..])
}

/// Returns the position of the last extension, with its point; the end if there is none. A point at the very end begins
/// none.
fn extension_start(value: &[u8]) -> usize {
    let base_start = value.len() - base(value).len();
    match memchr::memrchr(b'.', &value[base_start..]) {
        Some(point) if base_start + point + 1 < value.len() => base_start + point,
        _ => value.len(),
    }
}

/// Returns the position of the last two extensions; the end if there are not two.
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
