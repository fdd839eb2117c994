//! Fan-out that a job's own result can end.

use std::ops::ControlFlow;

use psmith_core::JobId;

use crate::job::failure::Failure;
use crate::job::flow::{Flow, Judgement};
use crate::job::job::JobRef;
use crate::map::hooks::HookAnswer;
use crate::map::map::Map;
use crate::run::face;
use crate::run::options::Options;
use crate::run::settings::settings;
use psmith_engine::function::codec::{Codec, WithErrors};
use psmith_engine::function::described::Described;
use psmith_engine::function::returns::Return;

/// Calls `f` with each item until one call says that it is enough ([`Flow`]).
///
/// ```
/// # psmith::init();
/// use psmith::Flow;
/// use std::ops::ControlFlow;
///
/// # // proves: U-22
/// let halve = |n: u32| if n % 2 == 0 { Flow::Next(n / 2) } else { Flow::Break(format!("{n} is odd")) };
/// let all = psmith::map_until([2, 4], halve).run().unwrap();
/// assert_eq!(all, ControlFlow::Continue(vec![1, 2]));
/// let some = psmith::map_until([2, 3], halve).run().unwrap();
/// assert_eq!(some, ControlFlow::Break("3 is odd".to_owned()));
/// ```
pub fn map_until<'h, I, F, O, R, B>(items: I, f: F) -> MapUntil<'h, I::IntoIter, F, R, B>
where
    I: IntoIterator,
    I::Item: 'static,
    F: Fn(I::Item) -> O + Copy + 'static,
    O: Return<Value = Flow<R, B>> + 'static,
{
    MapUntil { map: Map::new(items.into_iter(), f, Options::of(face::REDUCE)) }
}

/// See [`map_until`].
#[must_use = "nothing runs before `run`"]
pub struct MapUntil<'h, I, F, R, B, C = Described> {
    map: Map<'h, I, F, Flow<R, B>, C>,
}

impl<'h, I, F, R, B, C> MapUntil<'h, I, F, R, B, C> {
    settings!(map.options);

    /// Has items and results travel by this codec.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Flow;
    /// let next = |n: u32| Flow::<u32, ()>::Next(n);
    /// let all = psmith::map_until([1, 2], next).codec::<psmith::codec::Described>().run().unwrap();
    /// assert_eq!(all.continue_value(), Some(vec![1, 2]));
    /// ```
    pub fn codec<D>(self) -> MapUntil<'h, I, F, R, B, D> {
        MapUntil { map: self.map.codec() }
    }

    /// As [`Map::error_type`].
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
    /// use psmith::Flow;
    /// let halve = |n: u32| if n % 2 == 0 { Ok(Flow::<u32, ()>::Next(n / 2)) } else { Err(Odd(n)) };
    /// let failure = psmith::map_until([3], halve).error_type::<Odd>().run().unwrap_err();
    /// assert_eq!(failure.error(), Some(Odd(3)));
    /// ```
    pub fn error_type<E>(self) -> MapUntil<'h, I, F, R, B, WithErrors<E, C>>
    where
        I: Iterator,
        F: Fn(I::Item) -> Result<Flow<R, B>, E>,
        E: std::error::Error + 'static,
        C: Codec<E>,
    {
        MapUntil { map: self.map.error_type() }
    }

    /// As [`Map::progress`].
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Flow;
    /// let next = |n: u32| Flow::<u32, ()>::Next(n);
    /// assert!(psmith::map_until([1, 2], next).progress(false).run().unwrap().is_continue());
    /// ```
    #[cfg(feature = "board")]
    pub fn progress(self, how: impl Into<crate::board::ShowProgress>) -> Self {
        MapUntil { map: self.map.progress(how) }
    }

    /// As [`Map::on_start`].
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Flow;
    /// let mut begun = 0;
    /// let next = |n: u32| Flow::<u32, ()>::Next(n);
    /// psmith::map_until([1, 2], next).on_start(|_| begun += 1).run().unwrap();
    /// assert_eq!(begun, 2);
    /// ```
    pub fn on_start<H: HookAnswer>(self, hook: impl FnMut(&JobRef) -> H + 'h) -> Self {
        MapUntil { map: self.map.on_start(hook) }
    }

    /// As [`Map::on_done`], in completion order.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Flow;
    /// let mut ended = 0;
    /// let next = |n: u32| Flow::<u32, ()>::Next(n);
    /// psmith::map_until([1, 2], next).on_done(|_, end| ended += u32::from(end.is_ok())).run().unwrap();
    /// assert_eq!(ended, 2);
    /// ```
    pub fn on_done<H: HookAnswer>(
        self,
        hook: impl FnMut(&JobRef, Result<&Flow<R, B>, &Failure>) -> H + 'h,
    ) -> Self {
        MapUntil { map: self.map.on_done(hook) }
    }
}

impl<I, F, O, R, B, C> MapUntil<'_, I, F, R, B, C>
where
    I: Iterator,
    I::Item: 'static,
    F: Fn(I::Item) -> O + Copy + 'static,
    O: Return<Value = Flow<R, B>> + 'static,
    C: Codec<I::Item> + Codec<Flow<R, B>> + 'static,
{
    /// Runs; returns when the last process is gone. Either all results, in the order of the items, or what the first
    /// `Break` or `Kill` held; then the other results are dropped.
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
        let mut iter = self.map;
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
                    // Of several that were running, the one that the engine heard first. Inline there is only one.
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
