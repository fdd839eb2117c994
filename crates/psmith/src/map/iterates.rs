//! The methods by which a face is iterated over as if it were its own iterator. Runs nothing itself.

/// The commonest methods of [`Iterator`], for a face that gives values of this type by an iterator of this type.
macro_rules! iterates {
    ($gives:ty, $iter:ty) => {
        /// Runs the jobs and collects their results, as [`Iterator::collect`] does: into a `Result` of values, which
        /// stops at the first failure, or into all results.
        pub fn collect<B: FromIterator<Result<$gives, Failure>>>(self) -> B {
            self.into_iter().collect()
        }

        /// Passes each result through this function, as [`Iterator::map`] does: here, in the caller's own process.
        pub fn map<B, G: FnMut(Result<$gives, Failure>) -> B>(self, through: G) -> std::iter::Map<$iter, G> {
            self.into_iter().map(through)
        }

        /// Runs the jobs and calls this function with each result, as [`Iterator::for_each`] does.
        pub fn for_each(self, each: impl FnMut(Result<$gives, Failure>)) {
            self.into_iter().for_each(each);
        }

        /// Runs the jobs and returns the number of results, failures among them, as [`Iterator::count`] does.
        pub fn count(self) -> usize {
            self.into_iter().count()
        }
    };
}
pub(crate) use iterates;
