//! Fan-out with one answer: for effect, and questions about all items.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::failure::Failure;
use crate::job::flow::{Judge, Judgement};
use crate::job::job::JobRef;
use crate::job::run_summary::RunSummary;
use crate::map::hooks::{HookAnswer, hooks};
use crate::map::map::Map;
use crate::run::face;
use crate::run::options::{OnError, Options};
use crate::run::settings::settings;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::{Fallible, JobFunction, Lending, LendingFallible, Plain};
use psmith_engine::function::with_errors::WithErrors;

/// Calls `f` with each item for its effect alone.
///
/// ```
/// # psmith::init();
/// let dir = std::env::temp_dir().join(format!("psmith-each-{}", std::process::id()));
/// std::fs::create_dir(&dir).unwrap();
/// let files = ["a", "b"].map(|name| dir.join(name));
/// let done = psmith::try_each(files.clone(), |file| std::fs::write(file, b"x")).run();
/// assert_eq!(done.unwrap().jobs, 2);
/// assert!(files.iter().all(|file| file.exists()));
/// # std::fs::remove_dir_all(dir).unwrap();
/// ```
pub fn each<'h, I>(items: I, f: fn(I::Item)) -> Reduce<'h, I::IntoIter, Plain<I::Item, ()>, ()>
where
    I: IntoIterator,
    I::Item: 'static,
    Described: Codec<I::Item>,
{
    Reduce::new(items.into_iter(), Plain(f), true)
}

/// Calls `f`, which may fail, with each item for its effect alone, as [`each`] does. An error is its job's failure.
///
/// ```
/// # psmith::init();
/// let refuse = |n: u32| if n > 6 { Err(format!("no {n}")) } else { Ok(()) };
/// assert_eq!(psmith::try_each(0..5, refuse).run().unwrap().jobs, 5);
/// let failure = psmith::try_each([7], refuse).run().unwrap_err();
/// assert!(failure.to_string().contains("no 7"));
/// ```
pub fn try_each<'h, I, E>(
    items: I,
    f: fn(I::Item) -> Result<(), E>,
) -> Reduce<'h, I::IntoIter, Fallible<I::Item, (), E>, ()>
where
    I: IntoIterator,
    I::Item: 'static,
    E: Display + 'static,
    Described: Codec<I::Item>,
{
    Reduce::new(items.into_iter(), Fallible(f), true)
}

/// Calls `f` with each item and with `shared` for its effect alone: [`each`], with a value for all jobs, as
/// [`map_with`](crate::map_with) has it.
///
/// ```
/// # psmith::init();
/// let allowed = vec![1_u32, 2, 3];
/// let check = |allowed: &Vec<u32>, n: u32| assert!(allowed.contains(&n));
/// assert_eq!(psmith::each_with(&allowed, [1, 3], check).run().unwrap().jobs, 2);
/// ```
pub fn each_with<'h, X, I>(
    shared: &X,
    items: I,
    f: fn(&X, I::Item),
) -> Reduce<'h, I::IntoIter, Lending<X, I::Item, ()>, ()>
where
    X: Serialize + DeserializeOwned + 'static,
    I: IntoIterator,
    I::Item: 'static,
    Described: Codec<I::Item>,
{
    Reduce::new(items.into_iter(), Lending(f), true).share(shared)
}

/// Calls `f`, which may fail, with each item and with `shared` for its effect alone: [`try_each`], with a value for all
/// jobs, as [`map_with`](crate::map_with) has it.
///
/// ```
/// # psmith::init();
/// let allowed = vec![1_u32, 2, 3];
/// let check = |allowed: &Vec<u32>, n: u32| if allowed.contains(&n) { Ok(()) } else { Err("not allowed") };
/// assert!(psmith::try_each_with(&allowed, [1, 7], check).run().is_err());
/// ```
pub fn try_each_with<'h, X, I, E>(
    shared: &X,
    items: I,
    f: fn(&X, I::Item) -> Result<(), E>,
) -> Reduce<'h, I::IntoIter, LendingFallible<X, I::Item, (), E>, ()>
where
    X: Serialize + DeserializeOwned + 'static,
    I: IntoIterator,
    I::Item: 'static,
    E: Display + 'static,
    Described: Codec<I::Item>,
{
    Reduce::new(items.into_iter(), LendingFallible(f), true).share(shared)
}

/// Returns whether `f` returns true for any item. The first that does decides: no more jobs are started, and those that
/// run are killed.
///
/// ```
/// # psmith::init();
/// # // proves: any-all-decisions
/// assert!(psmith::any(0.., |n: u32| n == 3).workers(2).run().unwrap());
/// assert!(!psmith::any([] as [u32; 0], |_| true).run().unwrap());
/// ```
pub fn any<'h, I>(items: I, f: fn(I::Item) -> bool) -> Reduce<'h, I::IntoIter, Plain<I::Item, bool>, bool>
where
    I: IntoIterator,
    I::Item: 'static,
    Described: Codec<I::Item>,
{
    Reduce::new(items.into_iter(), Plain(f), true)
}

/// Returns whether `f`, which may fail, returns `Ok(true)` for any item, as [`any`] does. An error is its job's failure.
///
/// ```
/// # psmith::init();
/// let is_seven = |text: String| text.parse::<u32>().map(|n| n == 7);
/// assert!(psmith::try_any(["6", "7"].map(str::to_owned), is_seven).run().unwrap());
/// assert!(psmith::try_any(["six".to_owned()], is_seven).run().is_err());
/// ```
pub fn try_any<'h, I, E>(
    items: I,
    f: fn(I::Item) -> Result<bool, E>,
) -> Reduce<'h, I::IntoIter, Fallible<I::Item, bool, E>, bool>
where
    I: IntoIterator,
    I::Item: 'static,
    E: Display + 'static,
    Described: Codec<I::Item>,
{
    Reduce::new(items.into_iter(), Fallible(f), true)
}

/// Returns whether `f` returns true for all items. The first that returns false decides: no more jobs are started, and
/// those that run are killed.
///
/// ```
/// # psmith::init();
/// # // proves: any-all-decisions
/// assert!(!psmith::all(0.., |n: u32| n < 3).workers(2).run().unwrap());
/// assert!(psmith::all([] as [u32; 0], |_| false).run().unwrap());
/// ```
pub fn all<'h, I>(items: I, f: fn(I::Item) -> bool) -> Reduce<'h, I::IntoIter, Plain<I::Item, bool>, bool>
where
    I: IntoIterator,
    I::Item: 'static,
    Described: Codec<I::Item>,
{
    Reduce::new(items.into_iter(), Plain(f), false)
}

/// Returns whether `f`, which may fail, returns `Ok(true)` for all items, as [`all`] does. An error is its job's failure.
///
/// ```
/// # psmith::init();
/// let is_seven = |text: String| text.parse::<u32>().map(|n| n == 7);
/// assert!(!psmith::try_all(["7", "6"].map(str::to_owned), is_seven).run().unwrap());
/// assert!(psmith::try_all(["six".to_owned()], is_seven).run().is_err());
/// ```
pub fn try_all<'h, I, E>(
    items: I,
    f: fn(I::Item) -> Result<bool, E>,
) -> Reduce<'h, I::IntoIter, Fallible<I::Item, bool, E>, bool>
where
    I: IntoIterator,
    I::Item: 'static,
    E: Display + 'static,
    Described: Codec<I::Item>,
{
    Reduce::new(items.into_iter(), Fallible(f), false)
}

/// A run over all items that gives one answer, with its settings: returned by [`each`], [`any`], [`all`] and
/// [`map_until`](crate::map_until). Results are taken as they come.
///
/// Defaults: as many workers as processors, workers that stay, and no more are started after a failure. Of
/// [`Options`] it does not serve `logger`.
///
/// ```
/// # psmith::init();
/// let mut begun = 0;
/// let answer = psmith::all(0..3, |n: u32| n < 9).workers(1).on_start(|_| begun += 1).run();
/// assert_eq!((answer.unwrap(), begun), (true, 3));
/// ```
#[must_use = "nothing runs before `run`"]
pub struct Reduce<'h, I, F, R, C = Described> {
    pub(crate) map: Map<'h, I, F, R, C>,
    /// The answer that decides a question; unused by other runs.
    decides: bool,
}

impl<I, F, R> Reduce<'_, I, F, R> {
    pub(crate) fn new(items: I, f: F, decides: bool) -> Self {
        Reduce { map: Map::new(items, f, Options::of(face::REDUCE)), decides }
    }
}

impl<'h, I, F, R, C> Reduce<'h, I, F, R, C> {
    settings!(map.options);
    hooks!(R, map.hooks);

    /// Sets the hook for items that were taken and not begun, as [`Map::on_left`] does.
    ///
    /// ```
    /// # psmith::init();
    /// let mut back = Vec::new();
    /// let fail = |n: u32| if n == 0 { Err("nought") } else { Ok(()) };
    /// let failure = psmith::try_each(0..9, fail).workers(1).on_left(|n| back.push(n)).run().unwrap_err();
    /// assert_eq!((failure.index, back.first()), (0, Some(&1)));
    /// ```
    pub fn on_left(self, hook: impl FnMut(I::Item) + Send + 'h) -> Self
    where
        I: Iterator,
        I::Item: 'static,
    {
        Reduce { map: self.map.on_left(hook), decides: self.decides }
    }

    /// Encodes items and results with this codec.
    ///
    /// ```
    /// # psmith::init();
    /// let answer = psmith::any([1, 2], |n: u32| n == 2).codec::<psmith::codec::Described>().run();
    /// assert!(answer.unwrap());
    /// ```
    pub fn codec<D>(self) -> Reduce<'h, I, F, R, D> {
        Reduce { map: self.map.codec(), decides: self.decides }
    }

    /// Passes on the errors that `f` returns as values, as [`Map::error_type`] does.
    ///
    /// ```
    /// # psmith::init();
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// struct Odd(u32);
    /// # impl std::fmt::Display for Odd {
    /// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{} is odd", self.0) }
    /// # }
    /// impl std::error::Error for Odd {}
    ///
    /// let check = |n: u32| if n % 2 == 0 { Ok(n > 2) } else { Err(Odd(n)) };
    /// let failure = psmith::try_any([3], check).error_type::<Odd>().run().unwrap_err();
    /// assert_eq!(failure.error(), Some(Odd(3)));
    /// ```
    pub fn error_type<E>(self) -> Reduce<'h, I, F, R, WithErrors<E, C>>
    where
        F: JobFunction<Value = R, Error = E>,
        E: std::error::Error + 'static,
        C: Codec<E>,
    {
        Reduce { map: self.map.error_type(), decides: self.decides }
    }

    /// Shows the progress of the run, as [`Map::progress`] does.
    ///
    /// ```
    /// # psmith::init();
    /// assert!(psmith::all(0..5, |n: u32| n < 9).progress(false).run().unwrap());
    /// ```
    #[cfg(feature = "board")]
    pub fn progress(self, how: impl Into<crate::map::progress_row::ShowProgress>) -> Self {
        Reduce { map: self.map.progress(how), decides: self.decides }
    }
}

impl<I, F, C> Reduce<'_, I, F, (), C>
where
    I: Iterator,
    I::Item: 'static,
    F: JobFunction<Input = I::Item, Value = ()>,
    C: Codec<I::Item> + Codec<()> + 'static,
{
    /// Runs all jobs; returns how many there were, when the last process is gone. With
    /// [`OnError::Continue`] that also says how many of them failed.
    ///
    /// ```
    /// # psmith::init();
    /// assert_eq!(psmith::each(0..5, |_: u32| ()).run().unwrap().jobs, 5);
    /// let failure = psmith::try_each([7], |n: u32| Err(format!("no {n}"))).run().unwrap_err();
    /// assert!(failure.to_string().contains("no 7"));
    ///
    /// let odd = |n: u32| if n % 2 == 1 { Err("odd") } else { Ok(()) };
    /// let summary = psmith::try_each(0..5, odd).on_error(psmith::OnError::Continue).run().unwrap();
    /// assert_eq!((summary.jobs, summary.failed), (5, 2));
    /// ```
    ///
    /// # Errors
    /// The failure that came first. By default no more jobs are started after it, and those that run may finish. With
    /// [`OnError::Continue`] only the failure of a hook, of psmith itself, or
    /// of a run that was ended before its source.
    pub fn run(self) -> Result<RunSummary, Failure> {
        let mut summary = RunSummary::default();
        let mut failed = None;
        let goes_on = self.map.options.after_error() == OnError::Continue;
        let mut iter = self.map.into_iter();
        while let Some((_, result)) = iter.step() {
            match result {
                Ok(()) => {}
                // Of the run, not of a job.
                Err(failure) if failure.left.is_some() => {
                    failed.get_or_insert(failure);
                    continue;
                }
                Err(failure) => {
                    summary.failed += 1;
                    if !goes_on || failure.trouble.is_some() || iter.has_stopped() {
                        failed.get_or_insert(failure);
                    }
                }
            }
            summary.jobs += 1;
        }
        failed.map_or(Ok(summary), Err)
    }
}

impl<I, F, C> Reduce<'_, I, F, bool, C>
where
    I: Iterator,
    I::Item: 'static,
    F: JobFunction<Input = I::Item, Value = bool>,
    C: Codec<I::Item> + Codec<bool> + 'static,
{
    /// Runs until the answer is known; returns when the last process is gone.
    ///
    /// ```
    /// # psmith::init();
    /// assert!(psmith::any([1, 2, 3], |n: u32| n == 2).run().unwrap());
    /// assert!(!psmith::all([1, 2, 3], |n: u32| n == 2).run().unwrap());
    /// ```
    ///
    /// # Errors
    /// A job that failed before the answer was known.
    pub fn run(self) -> Result<bool, Failure> {
        let Reduce { mut map, decides } = self;
        map.judge = Some(judge::<C>(decides));
        let mut iter = map.into_iter();
        let mut failed = None;
        while let Some((_, result)) = iter.step() {
            match result {
                Ok(answer) if answer == decides => {
                    iter.kill();
                    return Ok(decides);
                }
                Ok(_) => {}
                // Killed by the decision of another, which is on its way.
                Err(_) if iter.first().decided.is_some() => {}
                Err(failure) => {
                    failed.get_or_insert(failure);
                }
            }
        }
        failed.map_or(Ok(!decides), Err)
    }
}

/// Kills the others as soon as an answer decides.
fn judge<C: Codec<bool>>(decides: bool) -> Judge {
    if decides {
        |bytes| judged(C::decode(bytes).is_ok_and(|answer| answer))
    } else {
        |bytes| judged(C::decode(bytes).is_ok_and(|answer| !answer))
    }
}

fn judged(is_decided: bool) -> Judgement {
    if is_decided { Judgement::Kill } else { Judgement::Go }
}
