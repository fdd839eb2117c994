//! The bodies of supervised workers, as jobs.

use crate::map::hooks::HookAnswer;
use psmith_engine::function::job_function::JobFunction;

/// The body of a worker.
pub(super) struct SupervisedBody<O>(pub(super) fn(u32) -> O);

impl<O> Clone for SupervisedBody<O> {
    fn clone(&self) -> SupervisedBody<O> {
        *self
    }
}

impl<O> Copy for SupervisedBody<O> {}

impl<O: HookAnswer + 'static> JobFunction for SupervisedBody<O> {
    type Input = u32;
    type Value = ();
    type Error = String;
    type Pointer = fn(u32) -> O;

    fn pointer(self) -> fn(u32) -> O {
        self.0
    }

    fn of(pointer: fn(u32) -> O) -> SupervisedBody<O> {
        SupervisedBody(pointer)
    }

    fn call(self, number: u32) -> Result<(), String> {
        self.0(number).into_answer()
    }
}

/// The body of a worker that has an input.
pub(super) struct SupervisedBodyWithInput<A, O>(pub(super) fn(u32, A) -> O);

impl<A, O> Clone for SupervisedBodyWithInput<A, O> {
    fn clone(&self) -> SupervisedBodyWithInput<A, O> {
        *self
    }
}

impl<A, O> Copy for SupervisedBodyWithInput<A, O> {}

impl<A: 'static, O: HookAnswer + 'static> JobFunction for SupervisedBodyWithInput<A, O> {
    type Input = (u32, A);
    type Value = ();
    type Error = String;
    type Pointer = fn(u32, A) -> O;

    fn pointer(self) -> fn(u32, A) -> O {
        self.0
    }

    fn of(pointer: fn(u32, A) -> O) -> SupervisedBodyWithInput<A, O> {
        SupervisedBodyWithInput(pointer)
    }

    fn call(self, (number, input): (u32, A)) -> Result<(), String> {
        self.0(number, input).into_answer()
    }
}
