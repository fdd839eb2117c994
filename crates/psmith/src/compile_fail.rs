//! Programs that the compiler refuses, each beside the same program without the one mistake, so that it is refused for
//! that mistake and for nothing else. Examples only: this module exists in no build but that of the documentation's
//! tests.

/// A function that captures, given to a map.
///
/// ```
/// let _ = psmith::map([1, 2], move |n: i32| n * 3);
/// ```
///
/// ```compile_fail
/// // proves: values-survive, ordered-map
/// let factor = 3;
/// let _ = psmith::map([1, 2], move |n: i32| n * factor);
/// ```
struct CapturingMap;

/// A function that captures, given to a job.
///
/// ```
/// let _ = psmith::Job::new(|n: i32| n * 3, 1);
/// ```
///
/// ```compile_fail
/// // proves: functions-and-commands
/// let factor = 3;
/// let _ = psmith::Job::new(move |n: i32| n * factor, 1);
/// ```
struct CapturingJob;

/// A captured reference: a worker has no part in the caller's memory.
///
/// ```
/// let _ = psmith::each([1, 2], |n: i32| drop(n));
/// ```
///
/// ```compile_fail
/// // proves: for-effect-only, caller-untouched
/// let seen = std::sync::Mutex::new(Vec::new());
/// let _ = psmith::each([1, 2], |n: i32| seen.lock().unwrap().push(n)).run();
/// ```
struct CapturingEach;

/// A method that the proxy's type does not have, and arguments that the method does not take.
///
/// ```no_run
/// let scheduler = psmith::Scheduler::new();
/// let number = scheduler.proxy(7_u32);
/// let _ = number.call(u32::count_ones_of, (1_u32,));
/// # trait Of { fn count_ones_of(&self, other: u32) -> u32; }
/// # impl Of for u32 { fn count_ones_of(&self, other: u32) -> u32 { (self & other).count_ones() } }
/// ```
///
/// ```compile_fail
/// // proves: proxy-is-typed, typed-proxies
/// let scheduler = psmith::Scheduler::new();
/// let number = scheduler.proxy(7_u32);
/// let _ = number.call(u32::no_such_method, (1_u32,));
/// ```
///
/// ```compile_fail
/// // proves: proxy-is-typed, typed-proxies
/// let scheduler = psmith::Scheduler::new();
/// let number = scheduler.proxy(7_u32);
/// let _ = number.call(u32::count_ones_of, ("one".to_owned(),));
/// # trait Of { fn count_ones_of(&self, other: u32) -> u32; }
/// # impl Of for u32 { fn count_ones_of(&self, other: u32) -> u32 { (self & other).count_ones() } }
/// ```
///
/// ```compile_fail
/// // proves: proxy-is-typed, typed-proxies
/// let scheduler = psmith::Scheduler::new();
/// let number = scheduler.proxy(7_u32);
/// let _ = number.call(String::len, ());
/// ```
struct Proxies;

/// A value that cannot travel.
///
/// ```
/// let _ = psmith::map([7_u32], |n: u32| n).count();
/// ```
///
/// ```compile_fail
/// // proves: serde-values
/// struct Opaque(u32);
/// let _ = psmith::map([Opaque(7)], |opaque: Opaque| opaque.0);
/// ```
struct Values;
