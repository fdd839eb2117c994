//! Errors of job functions that travel as values, not only as text. Chooses the codec; encodes nothing itself.

use crate::map::map::Map;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::job_function::JobFunction;
use psmith_engine::function::with_errors::WithErrors;

impl<'h, I, F, R, C> Map<'h, I, F, R, C> {
    /// Passes on the errors that `f` returns, of type `E`, as values, encoded with the codec of the results:
    /// [`Failure::error`](crate::Failure::error) returns them. Must be called after [`Map::codec`]; see also
    /// [`codec::WithErrors`](crate::codec::WithErrors).
    ///
    /// ```
    /// # psmith::init();
    /// # use serde::{Deserialize, Serialize};
    /// # use std::fmt;
    /// # // proves: errors-as-text
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// enum Unfit { Odd(u32), Zero }
    /// # impl fmt::Display for Unfit {
    /// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    /// #         match self { Unfit::Odd(n) => write!(f, "{n} is odd"), Unfit::Zero => f.write_str("zero") }
    /// #     }
    /// # }
    /// impl std::error::Error for Unfit {}
    ///
    /// let half = |n: u32| match n {
    ///     0 => Err(Unfit::Zero),
    ///     n if n % 2 == 1 => Err(Unfit::Odd(n)),
    ///     n => Ok(n / 2),
    /// };
    /// let got: Vec<_> = psmith::try_map([4, 5], half).error_type::<Unfit>().collect();
    /// assert_eq!(*got[0].as_ref().unwrap(), 2);
    /// let failure = got[1].as_ref().unwrap_err();
    /// assert_eq!(failure.error::<Unfit>(), Some(Unfit::Odd(5)));
    /// assert_eq!(failure.to_string(), "job #2 (5): 5 is odd");
    /// ```
    pub fn error_type<E>(self) -> Map<'h, I, F, R, WithErrors<E, C>>
    where
        F: JobFunction<Value = R, Error = E>,
        E: std::error::Error + 'static,
        C: Codec<E>,
    {
        self.codec()
    }
}
