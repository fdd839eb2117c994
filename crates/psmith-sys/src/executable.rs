//! Functions of this executable as plain numbers, so that another process of the same executable can call them.
//!
//! The address at which an executable is loaded differs from process to process, but the distance between two of its
//! functions does not: a function is sent as its distance from an anchor beside it. That holds within one loaded
//! object only, so a function that lies in another one (the anchor or the function in a Rust `dylib`) is refused when
//! the number is made, not when it is called. Makes no assumption about what the functions do.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::OnceLock;

/// A function of this executable with the way in which it is called: its arguments and results are in the context.
#[derive(Debug, Clone, Copy)]
pub struct FunctionEntry {
    trampoline: fn(usize, &mut dyn Any),
    /// The address of the function: of the type that the trampoline takes.
    function: usize,
}

impl FunctionEntry {
    /// Calls the function.
    pub fn call(self, context: &mut dyn Any) {
        (self.trampoline)(self.function, context);
    }

    /// Returns the address of the function in this process.
    #[must_use]
    pub fn address(self) -> usize {
        self.function
    }
}

/// The way in which a function of type `F` is called with a context.
pub trait Trampoline<F>: 'static {
    /// Calls it.
    fn call(function: F, context: &mut dyn Any);
}

/// A pointer to a function, which is as good as the function's address.
///
/// # Safety
/// A value made by [`FunctionPointer::at`] of the address of another is that other one, in every process of the build.
pub unsafe trait FunctionPointer: Copy + 'static {
    /// Returns the function's address.
    fn address(self) -> usize;

    /// Returns the pointer with this address.
    ///
    /// # Safety
    /// The address is that of a pointer of this very type, in a process of this build, moved by as much as the code is.
    unsafe fn at(address: usize) -> Self;
}

/// Implements it for functions of so many arguments.
macro_rules! function_pointer {
    ($($argument:ident),*) => {
        // SAFETY: rust-reference(functions): a function pointer is its address, and can be made of it again.
        unsafe impl<$($argument: 'static,)* R: 'static> FunctionPointer for fn($($argument),*) -> R {
            fn address(self) -> usize {
                self as usize
            }

            unsafe fn at(address: usize) -> Self {
                // SAFETY: transmute(3) of an address that is, as the caller has to know, the address of such a function.
                unsafe { std::mem::transmute::<usize, fn($($argument),*) -> R>(address) }
            }
        }
    };
}

function_pointer!();
function_pointer!(A);
function_pointer!(A, B);

/// A function that is lent a value beside its argument.
pub struct LendingFunction<X, A, R>(pub fn(&X, A) -> R);

impl<X, A, R> Clone for LendingFunction<X, A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<X, A, R> Copy for LendingFunction<X, A, R> {}

impl<X, A, R> fmt::Debug for LendingFunction<X, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LendingFunction")
    }
}

// SAFETY: as above.
unsafe impl<X: 'static, A: 'static, R: 'static> FunctionPointer for LendingFunction<X, A, R> {
    fn address(self) -> usize {
        self.0 as usize
    }

    unsafe fn at(address: usize) -> Self {
        // SAFETY: transmute(3) of an address that is, as the caller has to know, the address of such a function.
        LendingFunction(unsafe { std::mem::transmute::<usize, fn(&X, A) -> R>(address) })
    }
}

/// A function, or a closure, that has no size, so that its type alone is the function.
#[derive(Debug, Clone, Copy)]
pub struct Sizeless<F>(F);

impl<F: Copy + 'static> Sizeless<F> {
    /// Takes the function. One that has a size is refused when the program is compiled.
    pub fn new(function: F) -> Sizeless<F> {
        const {
            assert!(
                size_of::<F>() == 0,
                "it runs in another process, so it cannot capture variables: name the method itself, and pass what \
                 it needs as an argument"
            );
        }
        Sizeless(function)
    }

    /// Returns the function.
    pub fn into_inner(self) -> F {
        self.0
    }
}

// SAFETY: size_of(3) is 0: all values of the type are the same.
unsafe impl<F: Copy + 'static> FunctionPointer for Sizeless<F> {
    /// Any address within the code: it says nothing.
    fn address(self) -> usize {
        anchor as fn() as usize
    }

    unsafe fn at(_: usize) -> Self {
        // SAFETY: read(3) of a value without size reads no memory, and every aligned address that is not null will do.
        // That such a value exists is known: the caller has an address that `address` was asked of one.
        unsafe { NonNull::<Sizeless<F>>::dangling().read() }
    }
}

/// Returns the entry that calls `function` by way of `T`.
pub fn entry_of<F: FunctionPointer, T: Trampoline<F>>(function: F) -> FunctionEntry {
    FunctionEntry { trampoline: bounce::<F, T>, function: function.address() }
}

fn bounce<F: FunctionPointer, T: Trampoline<F>>(function: usize, context: &mut dyn Any) {
    // SAFETY: at(3) of the address that `entry_of` was shown together with this trampoline: nothing else makes an
    // `FunctionEntry`, but for `entry_at`, whose check holds for the two together.
    let function = unsafe { F::at(function) };
    T::call(function, context);
}

/// An entry as numbers, with a check that they were made by this very build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionOffset {
    /// The distances of the trampoline and of the function from the anchor.
    bytes: [i64; 2],
    check: u64,
}

impl FunctionOffset {
    /// Returns the numbers, for the wire.
    #[must_use]
    pub fn to_raw(self) -> ([i64; 2], u64) {
        (self.bytes, self.check)
    }

    /// Creates an offset from the wire. It is not trusted before [`entry_at`] has checked it.
    #[must_use]
    pub fn from_raw(bytes: [i64; 2], check: u64) -> FunctionOffset {
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

/// Returns the distances of `entry` from the anchor.
///
/// # Errors
/// If the function lies in another loaded object, or that is unknown.
pub fn distance_of(entry: FunctionEntry) -> Result<FunctionOffset, ForeignFunction> {
    let addresses = [entry.trampoline as usize, entry.function];
    let text = text()?;
    if !addresses.iter().all(|address| text.contains(address)) {
        return Err(ForeignFunction::OtherObject);
    }
    let anchor = anchor as fn() as usize as i64;
    let bytes = addresses.map(|address| (address as i64).wrapping_sub(anchor));
    Ok(FunctionOffset { bytes, check: check_of(bytes) })
}

/// Returns the entry at these distances.
///
/// # Errors
/// If the numbers were not made by [`distance_of`] in a process of this build.
pub fn entry_at(distance: FunctionOffset) -> Result<FunctionEntry, ForeignFunction> {
    let anchor = anchor as fn() as usize as i64;
    let [trampoline, function] = distance.bytes.map(|bytes| anchor.wrapping_add(bytes) as usize);
    let text = text()?;
    if distance.check != check_of(distance.bytes) || !text.contains(&trampoline) || !text.contains(&function)
    {
        return Err(ForeignFunction::NotOurs);
    }
    // SAFETY: transmute(3) of an address to the function type that was there when `distance_of` computed it: the check
    // ties the numbers to this image, in which code keeps its distances, and the address lies in its code.
    let trampoline = unsafe { std::mem::transmute::<usize, fn(usize, &mut dyn Any)>(trampoline) };
    Ok(FunctionEntry { trampoline, function })
}

/// Returns a number that two processes share only if they run the same build of the same program: from its file, as
/// the kernel identifies it, and the place of the anchor in it.
#[must_use]
pub fn build_id() -> u64 {
    static ID: OnceLock<u64> = OnceLock::new();
    *ID.get_or_init(|| {
        let start = text().map_or(0, |range| range.start);
        let mut hash = mixed(0x7073_6d69_7468, (anchor as fn() as usize).wrapping_sub(start) as u64);
        if let Ok(file) = rustix::fs::stat("/proc/self/exe") {
            // Not its time: a file that runs cannot be written, but touched.
            let parts = [file.st_dev, file.st_ino, file.st_size as u64];
            hash = parts.into_iter().fold(hash, mixed);
        }
        hash
    })
}

/// The place of this code, seen from what executing `/proc/self/exe` again would start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagePlace {
    /// It is part of that program.
    Executable,
    /// It is part of a shared library that the program has loaded.
    Library,
    /// That program is this dynamic loader, which was given the program of this code as an argument.
    Interpreted(PathBuf),
}

/// Returns where this code lies.
///
/// # Errors
/// Without `/proc`.
pub fn place() -> std::io::Result<ImagePlace> {
    static PLACE: OnceLock<ImagePlace> = OnceLock::new();
    if let Some(place) = PLACE.get() {
        return Ok(place.clone());
    }
    let place = find_place()?;
    Ok(PLACE.get_or_init(|| place).clone())
}

fn find_place() -> std::io::Result<ImagePlace> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let wanted = anchor as fn() as usize;
    let line = maps.lines().find(|line| executable(line).is_some_and(|range| range.contains(&wanted)));
    // The sixth field, after any number of spaces; it may hold spaces itself.
    let path = line.and_then(|line| line.splitn(6, ' ').nth(5)).map(str::trim_start);
    if path.is_some_and(|path| program.as_os_str() == path) {
        return Ok(ImagePlace::Executable);
    }
    // The loaders of glibc and musl: ld-linux-x86-64.so.2, ld-musl-aarch64.so.1; a glibc of its own may say ld.so.
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_loader = name.starts_with("ld-") || name.starts_with("ld.");
    Ok(if is_loader { ImagePlace::Interpreted(program) } else { ImagePlace::Library })
}

fn anchor() {}

fn check_of(bytes: [i64; 2]) -> u64 {
    bytes.iter().fold(build_id(), |check, bytes| mixed(check, *bytes as u64))
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
        let wanted = anchor as fn() as usize;
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
    impl Trampoline<fn(u32) -> u32> for Twice {
        fn call(function: fn(u32) -> u32, context: &mut dyn Any) {
            let number = context.downcast_mut::<u32>().unwrap();
            *number = function(function(*number));
        }
    }

    struct Once;
    impl<F: Fn(u32) -> u32 + Copy + 'static> Trampoline<Sizeless<F>> for Once {
        fn call(function: Sizeless<F>, context: &mut dyn Any) {
            let number = context.downcast_mut::<u32>().unwrap();
            *number = function.into_inner()(*number);
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
            (entry_of::<_, Twice>(add_one as fn(u32) -> u32), 12),
            (entry_of::<_, Twice>(generic::<3> as fn(u32) -> u32), 90),
            (entry_of::<fn(u32) -> u32, Twice>(|number: u32| number - 2), 6),
            (entry_of::<_, Once>(Sizeless::new(add_one)), 11),
        ];
        for (entry, expected) in entries {
            let (bytes, check) = distance_of(entry).unwrap().to_raw();
            let mut number = 10_u32;
            entry_at(FunctionOffset::from_raw(bytes, check)).unwrap().call(&mut number);
            assert_eq!(number, expected);
        }
    }

    #[test]
    fn this_code_is_part_of_the_program_that_runs() {
        assert_eq!(place().unwrap(), ImagePlace::Executable);
    }

    #[test]
    fn a_number_that_was_not_made_here_is_refused() {
        let pointer: fn(u32) -> u32 = add_one;
        let (bytes, check) = distance_of(entry_of::<_, Twice>(pointer)).unwrap().to_raw();
        let [trampoline, function] = bytes;
        for (bytes, check) in [
            ([trampoline + 1, function], check),
            // A function of another type than the trampoline's.
            ([trampoline, function + 1], check),
            (bytes, check ^ 1),
            ([i64::MAX, function], check),
            ([0, 0], 0),
        ] {
            assert!(
                entry_at(FunctionOffset::from_raw(bytes, check))
                    .is_err_and(|error| error == ForeignFunction::NotOurs)
            );
        }
    }
}
