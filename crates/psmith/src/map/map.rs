//! Ordered, lazy fan-out: an iterator in, an iterator of results out, each job in a process of its own.

use std::fmt;
use std::marker::PhantomData;

use psmith_core::policy::Order;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::failure::Failure;
use crate::job::flow::Judge;
use crate::job::job::JobRef;
use crate::map::hooks::{HookAnswer, Hooks, message_hook};
use crate::map::iterates::iterates;
use crate::map::map_iter::MapIter;
use crate::run::face;
use crate::run::options::Options;
use crate::run::settings::settings;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::{Fallible, JobFunction, Lending, LendingFallible, Plain};

/// Calls `f` with each item, in worker processes, and gives the results in the order of the items.
///
/// Lazy: nothing runs before the iterator is asked for the first time. Then items are taken from `items` as far as the
/// window allows ([`Map::window`]), so `items` may be endless. A failed item is an `Err` in its place, and the others
/// go on; `collect::<Result<Vec<_>, _>>()` stops at the first. Dropping the iterator ends what runs and waits for it.
///
/// `f` is a plain function or a closure that captures nothing: it runs in another process, and what it needs comes
/// with the item. Items and results are any values that serde can carry
/// ([`codec::Described`](crate::codec::Described)). An `f` that may fail is given to [`try_map`]: here a `Result` is a
/// value like any other.
///
/// Defaults: as many workers as processors, workers that stay, and the others go on after a failure. Of
/// [`Options`] it does not serve `logger`.
///
/// An `items` that blocks (a channel) holds up the results that are ready meanwhile; a
/// [`Server`](crate::Server) asks its producer on a thread of its own.
///
/// ```
/// psmith::init();
/// let words = ["a".to_owned(), "bc".to_owned(), "".to_owned()];
/// let lengths: Result<Vec<usize>, psmith::Failure> =
///     psmith::map(words, |word: String| word.len()).workers(2).collect();
/// assert_eq!(lengths.unwrap(), [1, 2, 0]);
/// ```
///
/// A closure that captures is refused by the compiler, which names what is captured:
///
/// ```compile_fail
/// let factor = 3;
/// let _ = psmith::map([1, 2], |n: i32| n * factor).collect::<Vec<_>>();
/// ```
///
/// What all jobs need is given to [`map_with`] instead, and what one job needs is a part of its item. Items own what they
/// hold: of a `&str` rustc says that an implementation is "not general enough"; a `String` will do.
///
/// ```
/// # psmith::init();
/// let factor = 3;
/// let tripled: Vec<i32> = psmith::map_with(&factor, [1, 2], |factor, n| n * factor).map(Result::unwrap).collect();
/// assert_eq!(tripled, [3, 6]);
/// ```
///
/// A job may run jobs of its own. Unless they say how many workers they want, such runs share those of the outermost:
///
/// ```
/// # psmith::init();
/// let squares = |n: u64| psmith::map(0..n, |n: u64| n * n).map(Result::unwrap).sum::<u64>();
/// // Never more than two jobs at once, on both levels together; those that wait for theirs are not counted.
/// let sums: Vec<u64> = psmith::map([3, 4], squares).workers(2).map(Result::unwrap).collect();
/// assert_eq!(sums, [5, 14]);
/// ```
pub fn map<'h, I, R>(items: I, f: fn(I::Item) -> R) -> Map<'h, I::IntoIter, Plain<I::Item, R>, R>
where
    I: IntoIterator,
    I::Item: 'static,
    R: 'static,
    Described: Codec<I::Item> + Codec<R>,
{
    Map::new(items.into_iter(), Plain(f), Options::of(face::MAP))
}

/// Calls `f`, which returns a `Result`, with each item, as [`map`] does. An error is the failure of its job, which may
/// be tried again ([`Map::retry`]) and may end the run ([`Map::on_error`]).
///
/// The error has to be displayed only, for its text is what travels (by `{:#}`, so that errors which show their chain of
/// causes that way keep it; a `Box<dyn Error>` is shown with its sources); [`Map::error_type`] carries the error
/// itself.
///
/// ```
/// # psmith::init();
/// let parse = |text: String| text.parse::<u32>();
/// let ends: Vec<_> = psmith::try_map(["7".to_owned(), "seven".to_owned()], parse).collect();
/// assert_eq!(*ends[0].as_ref().unwrap(), 7);
/// let failure = ends[1].as_ref().unwrap_err();
/// assert_eq!(failure.to_string(), r##"job #2 ("seven"): invalid digit found in string"##);
/// ```
///
/// Given to [`map`], the same function's `Result` is a value like any other, and its error no failure:
///
/// ```
/// # psmith::init();
/// let half = |n: u32| if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) };
/// let values: Vec<Result<u32, String>> = psmith::map([4, 5], half).map(Result::unwrap).collect();
/// assert_eq!(values, [Ok(2), Err("5 is odd".to_owned())]);
/// ```
pub fn try_map<'h, I, R, E>(
    items: I,
    f: fn(I::Item) -> Result<R, E>,
) -> Map<'h, I::IntoIter, Fallible<I::Item, R, E>, R>
where
    I: IntoIterator,
    I::Item: 'static,
    R: 'static,
    E: fmt::Display + 'static,
    Described: Codec<I::Item> + Codec<R>,
{
    Map::new(items.into_iter(), Fallible(f), Options::of(face::MAP))
}

/// Calls `f` with each item and with `shared`, as [`map`] does: the value is encoded once, reaches each worker once, and
/// is lent to each call ([`Options::share`]). The value travels by the default codec.
///
/// ```
/// # psmith::init();
/// let prices = [3_u32, 5, 8];
/// let total = |prices: &[u32; 3], (which, count): (usize, u32)| prices[which] * count;
/// let totals: Vec<u32> = psmith::map_with(&prices, [(0, 2), (2, 1)], total).map(Result::unwrap).collect();
/// assert_eq!(totals, [6, 8]);
/// ```
pub fn map_with<'h, X, I, R>(
    shared: &X,
    items: I,
    f: fn(&X, I::Item) -> R,
) -> Map<'h, I::IntoIter, Lending<X, I::Item, R>, R>
where
    X: Serialize + DeserializeOwned + 'static,
    I: IntoIterator,
    I::Item: 'static,
    R: 'static,
    Described: Codec<I::Item> + Codec<R>,
{
    Map::new(items.into_iter(), Lending(f), Options::of(face::MAP).share(shared))
}

/// Calls `f`, which returns a `Result`, with each item and with `shared`, as [`map_with`] does; an error is the failure
/// of its job, as in [`try_map`].
///
/// ```
/// # psmith::init();
/// let known = vec!["one".to_owned(), "two".to_owned()];
/// let find = |known: &Vec<String>, name: String| known.iter().position(|one| *one == name).ok_or("unknown");
/// let items = ["two", "three"].map(str::to_owned);
/// let ends: Vec<_> = psmith::try_map_with(&known, items, find).collect();
/// assert_eq!(*ends[0].as_ref().unwrap(), 1);
/// assert!(ends[1].as_ref().unwrap_err().to_string().contains("unknown"));
/// ```
pub fn try_map_with<'h, X, I, R, E>(
    shared: &X,
    items: I,
    f: fn(&X, I::Item) -> Result<R, E>,
) -> Map<'h, I::IntoIter, LendingFallible<X, I::Item, R, E>, R>
where
    X: Serialize + DeserializeOwned + 'static,
    I: IntoIterator,
    I::Item: 'static,
    R: 'static,
    E: fmt::Display + 'static,
    Described: Codec<I::Item> + Codec<R>,
{
    Map::new(items.into_iter(), LendingFallible(f), Options::of(face::MAP).share(shared))
}

/// A fan-out with its settings, before it begins; see [`map`].
///
/// `for` takes it as it is, and the commonest adapters are its own methods; the others are its iterator's, [`MapIter`],
/// which takes no more settings:
///
/// ```compile_fail
/// let mut results = psmith::map([1, 2], |n: u32| n).into_iter();
/// let first = results.next();
/// let rest = results.workers(2);
/// ```
///
/// Hooks may be called on the thread that it is moved to, and so are `Send`.
#[must_use = "nothing runs before it is iterated over"]
pub struct Map<'h, I, F, R, C = Described> {
    pub(super) items: I,
    pub(super) f: F,
    pub(crate) options: Options,
    pub(crate) judge: Option<Judge>,
    pub(crate) hooks: Hooks<'h, R>,
    codec: PhantomData<fn() -> C>,
}

impl<'h, I, F, R> Map<'h, I, F, R> {
    pub(crate) fn new(items: I, f: F, options: Options) -> Self {
        Map { items, f, options, judge: None, hooks: Hooks::none(), codec: PhantomData }
    }
}

impl<'h, I, F, R, C> Map<'h, I, F, R, C> {
    settings!(options);

    /// Gives results as they come, not in the order of the items.
    ///
    /// ```
    /// # psmith::init();
    /// let mut squares: Vec<u32> = psmith::map(0..5, |n: u32| n * n).unordered().map(Result::unwrap).collect();
    /// squares.sort();
    /// assert_eq!(squares, [0, 1, 4, 9, 16]);
    /// ```
    pub fn unordered(mut self) -> Self {
        self.options.order = Order::Completion;
        self
    }

    /// Encodes items and results with this codec.
    pub fn codec<D>(self) -> Map<'h, I, F, R, D> {
        let Map { items, f, options, judge, hooks, .. } = self;
        Map { items, f, options, judge, hooks, codec: PhantomData }
    }

    /// Sets the hook that is called once for each job before it begins, when a worker is free for it; on the thread that
    /// iterates, never two at once, so a caller that takes its time holds up the next start. The job has no process and
    /// no slot yet. After an `Err` this job and all later ones are not begun, and those that run finish; the error is
    /// the failure in the job's place. A panic ends the run.
    ///
    /// ```
    /// # psmith::init();
    /// let mut begun = Vec::new();
    /// let announce = |job: &psmith::JobRef| begun.push(job.input::<String>().unwrap());
    /// let words = ["one".to_owned(), "two".to_owned()];
    /// psmith::map(words, |word: String| word.len()).on_start(announce).for_each(drop);
    /// assert_eq!(begun, ["one", "two"]);
    /// ```
    pub fn on_start<H: HookAnswer>(mut self, hook: impl FnMut(&JobRef) -> H + Send + 'h) -> Self {
        self.hooks.on_start(hook);
        self
    }

    /// Sets the hook that is called once for each job with its outcome, in the order in which outcomes are handed out,
    /// before that. An `Err` takes the outcome's place, and nothing more is begun; a panic ends the run.
    ///
    /// ```
    /// # psmith::init();
    /// let mut failed = Vec::new();
    /// let check = |n: u32| if n == 1 { Err("one") } else { Ok(()) };
    /// psmith::try_map(0..3, check).on_done(|job, end| if end.is_err() { failed.push(job.index()) }).for_each(drop);
    /// assert_eq!(failed, [1]);
    /// ```
    pub fn on_done<H: HookAnswer>(
        mut self,
        hook: impl FnMut(&JobRef, Result<&R, &Failure>) -> H + Send + 'h,
    ) -> Self {
        self.hooks.on_done(hook);
        self
    }

    /// Sets the hook that is called with each item that was taken from the source and not begun, because the run was
    /// ended: by a signal's [`guard`](crate::signals::guard), a failure ([`on_error`](Map::on_error)), its time
    /// ([`total_timeout`](Map::total_timeout)), its [`breaker`](Map::breaker) or a hook. The source is not asked again
    /// then, and such an item has no result of its own; where no failure has told why, one at the end does
    /// ([`FailureDetails::left`](crate::FailureDetails::left)).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::OnError;
    /// let fail = |n: u32| if n == 1 { Err("one") } else { Ok(n) };
    /// let mut back = Vec::new();
    /// let map = psmith::try_map(0..100, fail).workers(1).on_error(OnError::Stop).on_left(|n| back.push(n));
    /// assert_eq!(map.count(), 2);
    /// assert!(back.iter().copied().eq(2..2 + back.len() as u32));
    /// ```
    pub fn on_left(mut self, mut hook: impl FnMut(I::Item) + Send + 'h) -> Self
    where
        I: Iterator,
        I::Item: 'static,
    {
        self.hooks.left = Some(Box::new(move |request| {
            if let Some(item) = request.decoded_input() {
                hook(item);
            }
        }));
        self
    }

    /// Sets the hook that is called when a job reports its progress ([`Cx::progress`](crate::Cx::progress)): done, and
    /// total or 0.
    pub fn on_progress(mut self, hook: impl FnMut(&JobRef, u64, u64) + Send + 'h) -> Self {
        self.hooks.progress = Some(Box::new(hook));
        self
    }

    /// Sets the hook that is called with each message of a job ([`Cx::send`](crate::Cx::send)), before the job's
    /// outcome. A message of another type stops the run, and its job's outcome is a failure that says so.
    ///
    /// ```
    /// # psmith::init();
    /// let count = |n: u32| { for i in 0..n { psmith::cx().unwrap().send(&i).unwrap(); } };
    /// let mut received = Vec::new();
    /// for done in psmith::map([3], count).on_message(|_, message: u32| received.push(message)) {
    ///     done.unwrap();
    /// }
    /// assert_eq!(received, [0, 1, 2]);
    /// ```
    pub fn on_message<M: Serialize + DeserializeOwned + 'static>(
        mut self,
        hook: impl FnMut(&JobRef, M) + Send + 'h,
    ) -> Self {
        self.hooks.message = Some(message_hook(hook));
        self
    }
}

impl<'h, I, F, R, C> IntoIterator for Map<'h, I, F, R, C>
where
    I: Iterator,
    I::Item: 'static,
    F: JobFunction<Input = I::Item, Value = R>,
    C: Codec<I::Item> + Codec<R> + 'static,
{
    type Item = Result<R, Failure>;
    type IntoIter = MapIter<'h, I, F, R, C>;

    fn into_iter(self) -> MapIter<'h, I, F, R, C> {
        MapIter::new(self)
    }
}

impl<'h, I, F, R, C> Map<'h, I, F, R, C>
where
    I: Iterator,
    I::Item: 'static,
    F: JobFunction<Input = I::Item, Value = R>,
    C: Codec<I::Item> + Codec<R> + 'static,
{
    iterates!(R, MapIter<'h, I, F, R, C>);

    /// Gives each result with the index of its item, from 0, in whichever order they come.
    ///
    /// ```
    /// # psmith::init();
    /// let squares = psmith::map([5, 6, 7], |n: u32| n * n).unordered().indexed();
    /// let mut squares = squares.collect::<Result<Vec<(u64, u32)>, psmith::Failure>>().unwrap();
    /// squares.sort();
    /// assert_eq!(squares, [(0, 25), (1, 36), (2, 49)]);
    /// ```
    pub fn indexed(self) -> impl Iterator<Item = Result<(u64, R), Failure>> {
        self.into_iter().indexed()
    }

    /// Gives each result with its item, in whichever order they come. The item is decoded again from what was sent; a
    /// failure has its own ([`Failure::input`](crate::Failure::input)).
    ///
    /// ```
    /// # psmith::init();
    /// let words = ["a".to_owned(), "bc".to_owned()];
    /// for result in psmith::map(words, |word: String| word.len()).unordered().with_input() {
    ///     let (word, length) = result.unwrap();
    ///     assert_eq!(word.len(), length);
    /// }
    /// ```
    pub fn with_input(self) -> impl Iterator<Item = Result<(I::Item, R), Failure>> {
        self.into_iter().with_input()
    }
}
