//! Fan-out for effect, and questions about all items.

use crate::job::failure::Failure;
use crate::job::flow::Judgement;
use crate::job::job::JobRef;
use crate::map::hooks::HookAnswer;
use crate::map::map::Map;
use crate::run::face;
use crate::run::options::Options;
use crate::run::settings::settings;
use psmith_engine::function::codec::{Codec, WithErrors};
use psmith_engine::function::described::Described;
use psmith_engine::function::returns::Return;

/// Calls `f` with each item for its effect alone.
///
/// ```
/// # psmith::init();
/// let dir = std::env::temp_dir().join(format!("psmith-each-{}", std::process::id()));
/// std::fs::create_dir(&dir).unwrap();
/// let files = ["a", "b"].map(|name| dir.join(name));
/// let done = psmith::each(files.clone(), |file| std::fs::write(file, b"x")).run();
/// assert_eq!(done.unwrap(), 2);
/// assert!(files.iter().all(|file| file.exists()));
/// # std::fs::remove_dir_all(dir).unwrap();
/// ```
pub fn each<'h, I, F, O>(items: I, f: F) -> Each<'h, I::IntoIter, F>
where
    I: IntoIterator,
    I::Item: 'static,
    F: Fn(I::Item) -> O + Copy + 'static,
    O: Return<Value = ()> + 'static,
{
    Each { map: Map::new(items.into_iter(), f, Options::of(face::REDUCE)) }
}

/// See [`each`].
#[must_use = "nothing runs before `run`"]
pub struct Each<'h, I, F, C = Described> {
    map: Map<'h, I, F, (), C>,
}

impl<'h, I, F, C> Each<'h, I, F, C> {
    settings!(map.options);

    /// Has items travel by this codec.
    ///
    /// ```
    /// # psmith::init();
    /// let done = psmith::each([vec![1_u8, 2]], |bytes: Vec<u8>| assert_eq!(bytes.len(), 2)).codec::<psmith::codec::Described>().run();
    /// assert_eq!(done.unwrap(), 1);
    /// ```
    pub fn codec<D>(self) -> Each<'h, I, F, D> {
        Each { map: self.map.codec() }
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
    /// let check = |n: u32| if n % 2 == 0 { Ok(()) } else { Err(Odd(n)) };
    /// let failure = psmith::each([2, 3], check).error_type::<Odd>().run().unwrap_err();
    /// assert_eq!(failure.error(), Some(Odd(3)));
    /// ```
    pub fn error_type<E>(self) -> Each<'h, I, F, WithErrors<E, C>>
    where
        I: Iterator,
        F: Fn(I::Item) -> Result<(), E>,
        E: std::error::Error + 'static,
        C: Codec<E>,
    {
        Each { map: self.map.error_type() }
    }

    /// As [`Map::progress`].
    ///
    /// ```
    /// # psmith::init();
    /// let done = psmith::each(0..10, |_: u32| ()).progress(false).run();
    /// assert_eq!(done.unwrap(), 10);
    /// ```
    #[cfg(feature = "board")]
    pub fn progress(self, how: impl Into<crate::board::ShowProgress>) -> Self {
        Each { map: self.map.progress(how) }
    }

    /// As [`Map::on_start`].
    ///
    /// ```
    /// # psmith::init();
    /// let mut begun = Vec::new();
    /// psmith::each(0..3, |_: u32| ()).workers(1).on_start(|job| begun.push(job.index())).run().unwrap();
    /// assert_eq!(begun, [0, 1, 2]);
    /// ```
    pub fn on_start<H: HookAnswer>(self, hook: impl FnMut(&JobRef) -> H + 'h) -> Self {
        Each { map: self.map.on_start(hook) }
    }

    /// As [`Map::on_done`], in completion order.
    ///
    /// ```
    /// # psmith::init();
    /// let mut failed = Vec::new();
    /// let check = |n: u32| if n == 1 { Err("one") } else { Ok(()) };
    /// let run = psmith::each(0..2, check).on_done(|job, end| if end.is_err() { failed.push(job.index()) });
    /// assert!(run.run().is_err());
    /// assert_eq!(failed, [1]);
    /// ```
    pub fn on_done<H: HookAnswer>(
        self,
        mut hook: impl FnMut(&JobRef, Result<(), &Failure>) -> H + 'h,
    ) -> Self {
        Each { map: self.map.on_done(move |job, result| hook(job, result.copied())) }
    }
}

impl<I, F, O, C> Each<'_, I, F, C>
where
    I: Iterator,
    I::Item: 'static,
    F: Fn(I::Item) -> O + Copy + 'static,
    O: Return<Value = ()> + 'static,
    C: Codec<I::Item> + Codec<()> + 'static,
{
    /// Runs all of it; returns how many succeeded, when the last process is gone.
    ///
    /// ```
    /// # psmith::init();
    /// assert_eq!(psmith::each(0..5, |_: u32| ()).run().unwrap(), 5);
    /// let failure = psmith::each([7], |n: u32| Err::<(), _>(format!("no {n}"))).run().unwrap_err();
    /// assert!(failure.to_string().contains("no 7"));
    /// ```
    ///
    /// # Errors
    /// The failure that came first. By default no more are started after it, and those that run may finish.
    pub fn run(self) -> Result<u64, Failure> {
        let mut done = 0;
        let mut failed = None;
        let mut iter = self.map;
        while let Some((_, result)) = iter.step() {
            match result {
                Ok(()) => done += 1,
                Err(failure) => {
                    failed.get_or_insert(failure);
                }
            }
        }
        failed.map_or(Ok(done), Err)
    }
}

/// Whether `f` says true of any item. The first that does decides: nothing more is started, and what runs is killed.
///
/// ```
/// # psmith::init();
/// # // proves: U-14
/// assert!(psmith::any(0.., |n: u32| n == 3).workers(2).run().unwrap());
/// assert!(!psmith::any([] as [u32; 0], |_| true).run().unwrap());
/// ```
pub fn any<'h, I, F, O>(items: I, f: F) -> Any<'h, I::IntoIter, F>
where
    I: IntoIterator,
    I::Item: 'static,
    F: Fn(I::Item) -> O + Copy + 'static,
    O: Return<Value = bool> + 'static,
{
    Any { map: Map::new(items.into_iter(), f, Options::of(face::REDUCE)) }
}

/// Whether `f` says true of all items. The first of which it says false decides: nothing more is started, and what runs is
/// killed.
///
/// ```
/// # psmith::init();
/// # // proves: U-14
/// assert!(!psmith::all(0.., |n: u32| n < 3).workers(2).run().unwrap());
/// assert!(psmith::all([] as [u32; 0], |_| false).run().unwrap());
/// ```
pub fn all<'h, I, F, O>(items: I, f: F) -> All<'h, I::IntoIter, F>
where
    I: IntoIterator,
    I::Item: 'static,
    F: Fn(I::Item) -> O + Copy + 'static,
    O: Return<Value = bool> + 'static,
{
    All { map: Map::new(items.into_iter(), f, Options::of(face::REDUCE)) }
}

macro_rules! question {
    ($name:ident, $decides:literal, $doc:literal) => {
        #[doc = $doc]
        #[must_use = "nothing runs before `run`"]
        pub struct $name<'h, I, F, C = Described> {
            map: Map<'h, I, F, bool, C>,
        }

        impl<'h, I, F, C> $name<'h, I, F, C> {
            settings!(map.options);

            /// Has items and answers travel by this codec.
            ///
            /// ```
            /// # psmith::init();
            /// let answer = psmith::any([1, 2], |n: u32| n == 2).codec::<psmith::codec::Described>().run();
            /// assert!(answer.unwrap());
            /// ```
            pub fn codec<D>(self) -> $name<'h, I, F, D> {
                $name { map: self.map.codec() }
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
            /// let check = |n: u32| if n % 2 == 0 { Ok(n > 2) } else { Err(Odd(n)) };
            /// let failure = psmith::any([3], check).error_type::<Odd>().run().unwrap_err();
            /// assert_eq!(failure.error(), Some(Odd(3)));
            /// ```
            pub fn error_type<E>(self) -> $name<'h, I, F, WithErrors<E, C>>
            where
                I: Iterator,
                F: Fn(I::Item) -> Result<bool, E>,
                E: std::error::Error + 'static,
                C: Codec<E>,
            {
                $name { map: self.map.error_type() }
            }

            /// As [`Map::progress`].
            ///
            /// ```
            /// # psmith::init();
            /// assert!(psmith::all(0..5, |n: u32| n < 9).progress(false).run().unwrap());
            /// ```
            #[cfg(feature = "board")]
            pub fn progress(self, how: impl Into<crate::board::ShowProgress>) -> Self {
                $name { map: self.map.progress(how) }
            }
        }

        impl<I, F, O, C> $name<'_, I, F, C>
        where
            I: Iterator,
            I::Item: 'static,
            F: Fn(I::Item) -> O + Copy + 'static,
            O: Return<Value = bool> + 'static,
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
            pub fn run(mut self) -> Result<bool, Failure> {
                self.map.judge = Some(|bytes| match <C as Codec<bool>>::decode(bytes) {
                    Ok($decides) => Judgement::Kill,
                    Ok(_) | Err(_) => Judgement::Go,
                });
                decide(self.map, $decides)
            }
        }
    };
}

question!(Any, true, "See [`any`].");
question!(All, false, "See [`all`].");

fn decide<I, F, O, C>(mut iter: Map<'_, I, F, bool, C>, decides: bool) -> Result<bool, Failure>
where
    I: Iterator,
    I::Item: 'static,
    F: Fn(I::Item) -> O + Copy + 'static,
    O: Return<Value = bool> + 'static,
    C: Codec<I::Item> + Codec<bool> + 'static,
{
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
