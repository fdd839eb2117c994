//! Functions of this executable as plain numbers, so that another process of the same executable can call them.
//!
//! The address at which an executable is loaded differs from process to process, but the distance between two of its
//! functions does not: a function is sent as its distance from an anchor beside it. That holds within one loaded
//! object only, so a function that lies in another one (the anchor or the function in a Rust `dylib`) is refused when
//! the number is made, not when it is called. Makes no assumption about what the functions do.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::OnceLock;

/// A function as another process of this executable can call it: its arguments and results are in the context.
pub type EntryFunction = fn(&mut dyn Any);

/// The way in which a function of type `F` is called with a context.
pub trait Trampoline<F>: 'static {
    /// Calls it.
    fn call(function: F, context: &mut dyn Any);
}

/// Returns the entry that calls `function` by way of `T`. `function` must be a value without size: a function's own
/// name, or a closure that captures nothing; any other is refused when the program is compiled.
pub fn entry_of<F: Copy + 'static, T: Trampoline<F>>(function: F) -> EntryFunction {
    const {
        assert!(
            size_of::<F>() == 0,
            "a job runs in another process, so its function cannot capture variables: \
             pass what it needs as part of its input (a tuple will do), and name the function itself \
             instead of a `fn` pointer to it"
        );
    }
    let _shown = function;
    bounce::<F, T>
}

fn bounce<F: Copy + 'static, T: Trampoline<F>>(context: &mut dyn Any) {
    // SAFETY: read(3) of a value without size reads no memory, and every aligned address that is not null will do.
    // That such a value exists is known: `entry_of`, which alone names this function, was shown one, and it is `Copy`.
    let function = unsafe { NonNull::<F>::dangling().read() };
    T::call(function, context);
}

/// An entry as a number, with a check that it was made by this very build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionOffset {
    bytes: i64,
    check: u64,
}

impl FunctionOffset {
    /// Returns the two numbers, for the wire.
    #[must_use]
    pub fn to_raw(self) -> (i64, u64) {
        (self.bytes, self.check)
    }

    /// Creates an offset from the wire. It is not trusted before [`entry_at`] has checked it.
    #[must_use]
    pub fn from_raw(bytes: i64, check: u64) -> FunctionOffset {
        FunctionOffset { bytes, check }
    }
}

/// The reason why a function cannot be sent as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignFunction {
    /// The function lies in another loaded object than the anchor.
    OtherObject,
    /// The number was not made by this build.
    NotOurs,
    /// The function's place is unknown, because there is no `/proc`.
    Unknown,
}

impl fmt::Display for ForeignFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ForeignFunction::OtherObject => {
                "the function lies in another loaded library: register it by name"
            }
            ForeignFunction::NotOurs => "the number names no function of this program",
            ForeignFunction::Unknown => {
                "/proc/self/maps cannot be read, so no function can be named by its place"
            }
        })
    }
}

impl std::error::Error for ForeignFunction {}

/// Returns the distance of `entry` from the anchor.
///
/// # Errors
/// If it lies in another loaded object, or that is unknown.
pub fn distance_of(entry: EntryFunction) -> Result<FunctionOffset, ForeignFunction> {
    let address = entry as usize;
    if !text()?.contains(&address) {
        return Err(ForeignFunction::OtherObject);
    }
    let bytes = (address as i64).wrapping_sub(anchor as EntryFunction as usize as i64);
    Ok(FunctionOffset { bytes, check: check_of(bytes) })
}

/// Returns the entry at that distance.
///
/// # Errors
/// If the number was not made by [`distance_of`] in a process of this build.
pub fn entry_at(distance: FunctionOffset) -> Result<EntryFunction, ForeignFunction> {
    let address = (anchor as EntryFunction as usize as i64).wrapping_add(distance.bytes) as usize;
    if distance.check != check_of(distance.bytes) || !text()?.contains(&address) {
        return Err(ForeignFunction::NotOurs);
    }
    // SAFETY: transmute(3) of an address to the function type that was there when `distance_of` computed it: the check
    // ties the number to this image, in which code keeps its distances, and the address lies in its code.
    Ok(unsafe { std::mem::transmute::<usize, EntryFunction>(address) })
}

/// Returns a number that two processes share only if they run the same build of the same program: from its file, as
/// the kernel identifies it, and the place of the anchor in it.
#[must_use]
pub fn build_id() -> u64 {
    static ID: OnceLock<u64> = OnceLock::new();
    *ID.get_or_init(|| {
        let start = text().map_or(0, |range| range.start);
        let mut hash = mixed(0x7073_6d69_7468, (anchor as EntryFunction as usize).wrapping_sub(start) as u64);
        if let Ok(file) = rustix::fs::stat("/proc/self/exe") {
            // Not its time: a file that runs cannot be written, but touched.
            let parts = [file.st_dev, file.st_ino, file.st_size as u64];
            hash = parts.into_iter().fold(hash, mixed);
        }
        hash
    })
}

/// Returns whether this code is part of the program that `/proc/self/exe` names, so that executing that again gives a
/// process which has it. False in a shared library that another program has loaded.
///
/// # Errors
/// Without `/proc`.
pub fn is_in_executable() -> std::io::Result<bool> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let wanted = anchor as EntryFunction as usize;
    let line = maps.lines().find(|line| executable(line).is_some_and(|range| range.contains(&wanted)));
    // The sixth field, after any number of spaces; it may hold spaces itself.
    let path = line.and_then(|line| line.splitn(6, ' ').nth(5)).map(str::trim_start);
    Ok(path.is_some_and(|path| program.as_os_str() == path))
}

fn anchor(_: &mut dyn Any) {}

fn check_of(bytes: i64) -> u64 {
    mixed(build_id(), bytes as u64)
}

/// Returns SplitMix64's finisher: enough to detect an accident, no protection against malice.
fn mixed(state: u64, word: u64) -> u64 {
    let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns where the code of the object with the anchor lies. Read once; a forked child inherits the result.
fn text() -> Result<Range<usize>, ForeignFunction> {
    static TEXT: OnceLock<Result<Range<usize>, ForeignFunction>> = OnceLock::new();
    TEXT.get_or_init(|| {
        let maps = std::fs::read_to_string("/proc/self/maps").map_err(|_| ForeignFunction::Unknown)?;
        let wanted = anchor as EntryFunction as usize;
        maps.lines()
            .filter_map(executable)
            .find(|range| range.contains(&wanted))
            .ok_or(ForeignFunction::Unknown)
    })
    .clone()
}

/// Parses `START-END r-xp ...`, if it is code.
fn executable(line: &str) -> Option<Range<usize>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    (rest.as_bytes().get(2) == Some(&b'x')).then_some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Twice;
    impl<F: Fn(u32) -> u32 + 'static> Trampoline<F> for Twice {
        fn call(function: F, context: &mut dyn Any) {
            let number = context.downcast_mut::<u32>().unwrap();
            *number = function(function(*number));
        }
    }

    fn add_one(number: u32) -> u32 {
        number + 1
    }

    fn generic<const N: u32>(number: u32) -> u32 {
        number * N
    }

    #[test]
    fn functions_generics_and_closures_are_found_again_by_their_distance() {
        let entries = [
            (entry_of::<_, Twice>(add_one), 12),
            (entry_of::<_, Twice>(generic::<3>), 90),
            (entry_of::<_, Twice>(|number: u32| number - 2), 6),
        ];
        for (entry, expected) in entries {
            let (bytes, check) = distance_of(entry).unwrap().to_raw();
            let mut number = 10_u32;
            entry_at(FunctionOffset::from_raw(bytes, check)).unwrap()(&mut number);
            assert_eq!(number, expected);
        }
    }

    #[test]
    fn this_code_is_part_of_the_program_that_runs() {
        assert!(is_in_executable().unwrap());
    }

    #[test]
    fn a_number_that_was_not_made_here_is_refused() {
        let (bytes, check) = distance_of(entry_of::<_, Twice>(add_one)).unwrap().to_raw();
        for (bytes, check) in [(bytes + 1, check), (bytes, check ^ 1), (i64::MAX, check), (0, 0)] {
            assert_eq!(
                entry_at(FunctionOffset::from_raw(bytes, check)).unwrap_err(),
                ForeignFunction::NotOurs
            );
        }
    }
}
