//! Fan-out that a job's own result can end.

use std::fmt::Display;
use std::ops::ControlFlow;

use psmith_core::JobId;

use crate::job::failure::Failure;
use crate::job::flow::{Flow, Judgement};
use crate::map::each::Reduce;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::{Fallible, JobFunction, Plain};

/// Calls `f` with each item until one call ends the run ([`Flow`]).
///
/// ```
/// # psmith::init();
/// use psmith::Flow;
/// use std::ops::ControlFlow;
///
/// # // proves: value-ends-the-run
/// let halve = |n: u32| if n % 2 == 0 { Flow::Next(n / 2) } else { Flow::Break(format!("{n} is odd")) };
/// let all = psmith::map_until([2, 4], halve).run().unwrap();
/// assert_eq!(all, ControlFlow::Continue(vec![1, 2]));
/// let some = psmith::map_until([2, 3], halve).run().unwrap();
/// assert_eq!(some, ControlFlow::Break("3 is odd".to_owned()));
/// ```
pub fn map_until<'h, I, R, B>(
    items: I,
    f: fn(I::Item) -> Flow<R, B>,
) -> Reduce<'h, I::IntoIter, Plain<I::Item, Flow<R, B>>, Flow<R, B>>
where
    I: IntoIterator,
    I::Item: 'static,
    R: 'static,
    B: 'static,
    Described: Codec<I::Item> + Codec<Flow<R, B>>,
{
    Reduce::new(items.into_iter(), Plain(f), true)
}

/// Calls `f`, which may fail, with each item until one call ends the run, as [`map_until`] does. An error is its job's
/// failure.
///
/// ```
/// # psmith::init();
/// use psmith::Flow;
/// use std::ops::ControlFlow;
///
/// let find = |text: String| match text.parse::<u32>() {
///     Ok(7) => Ok(Flow::Break(text)),
///     Ok(n) => Ok(Flow::Next(n)),
///     Err(error) => Err(error),
/// };
/// let found = psmith::try_map_until(["6", "7"].map(str::to_owned), find).run().unwrap();
/// assert_eq!(found, ControlFlow::Break("7".to_owned()));
/// assert!(psmith::try_map_until(["six".to_owned()], find).run().is_err());
/// ```
pub fn try_map_until<'h, I, R, B, E>(
    items: I,
    f: fn(I::Item) -> Result<Flow<R, B>, E>,
) -> Reduce<'h, I::IntoIter, Fallible<I::Item, Flow<R, B>, E>, Flow<R, B>>
where
    I: IntoIterator,
    I::Item: 'static,
    R: 'static,
    B: 'static,
    E: Display + 'static,
    Described: Codec<I::Item> + Codec<Flow<R, B>>,
{
    Reduce::new(items.into_iter(), Fallible(f), true)
}

impl<I, F, R, B, C> Reduce<'_, I, F, Flow<R, B>, C>
where
    I: Iterator,
    I::Item: 'static,
    F: JobFunction<Input = I::Item, Value = Flow<R, B>>,
    C: Codec<I::Item> + Codec<Flow<R, B>> + 'static,
{
    /// Runs the jobs; returns when the last process is gone. Gives either all results, in the order of the items, or
    /// the value of the first `Break` or `Kill`; then the other results are dropped.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Flow;
    /// use std::ops::ControlFlow;
    /// let find = |n: u32| if n == 40 { Flow::Kill(n) } else { Flow::Next(()) };
    /// assert_eq!(psmith::map_until(0.., find).run().unwrap(), ControlFlow::Break(40));
    /// ```
    ///
    /// # Errors
    /// The failure that came first, if nothing was decided. A decision is not replaced by a later failure.
    pub fn run(mut self) -> Result<ControlFlow<B, Vec<R>>, Failure> {
        self.map.judge = Some(|bytes| match <C as Codec<Flow<R, B>>>::decode(bytes) {
            Ok(Flow::Break(_)) => Judgement::Enough,
            Ok(Flow::Kill(_)) => Judgement::Kill,
            Ok(Flow::Next(_)) | Err(_) => Judgement::Go,
        });
        let mut iter = self.map.into_iter();
        let mut results: Vec<Option<R>> = Vec::new();
        let (mut decided, mut failed) = (None, None);
        while let Some((index, result)) = iter.step() {
            match result {
                Ok(Flow::Next(value)) => {
                    let index = usize::try_from(index).unwrap_or(usize::MAX);
                    if results.len() <= index {
                        results.resize_with(index + 1, || None);
                    }
                    results[index] = Some(value);
                }
                Ok(Flow::Break(value) | Flow::Kill(value)) => {
                    // Of several that were running, the one whose end the engine received first. Inline there is only
                    // one.
                    if iter.first().decided.is_none_or(|first| first == JobId(index + 1)) {
                        decided.get_or_insert(value);
                    }
                    iter.enough();
                }
                Err(failure) => {
                    failed.get_or_insert(failure);
                }
            }
        }
        match (decided, failed) {
            (Some(value), _) => Ok(ControlFlow::Break(value)),
            (None, Some(failure)) => Err(failure),
            (None, None) => Ok(ControlFlow::Continue(results.into_iter().flatten().collect())),
        }
    }
}
