//! The settings of a pool, and the state that its workers keep.

use std::marker::PhantomData;

use crate::pool::pool::Pool;
use crate::run::face;
use crate::run::listening::listening;
use crate::run::options::Options;
use crate::run::settings::settings;
use psmith_engine::EngineError;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::first_call::FirstCall;
use psmith_engine::worker::state::{exiting, making, making_with};

/// The settings of a pool; see [`Pool::builder`]. `S` is the state of each worker.
///
/// ```
/// # psmith::init();
/// # // proves: messages-both-ways
/// use psmith::{Job, JobRef, Pool};
/// use std::sync::mpsc;
/// let (sender, messages) = mpsc::channel();
/// let hear = move |job: &JobRef, text: String| sender.send((job.id(), text)).unwrap();
/// let pool = Pool::builder().workers(1).on_message(hear).build().unwrap();
/// let say = |_: ()| psmith::cx().unwrap().send("hello").unwrap();
/// pool.submit(Job::new(say, ())).unwrap().wait().unwrap();
/// assert_eq!(messages.recv().unwrap(), (1, "hello".to_owned()));
/// ```
#[must_use = "nothing runs before `build`"]
pub struct PoolBuilder<S = ()> {
    options: Options,
    /// The functions that make the state, and take it at the end.
    init: Option<Result<FirstCall, String>>,
    exit: Option<Result<FirstCall, String>>,
    makes: PhantomData<fn() -> S>,
}

impl Pool {
    /// A pool with the usual settings: as many workers as processors that this process may use, and a window of twice
    /// as many jobs, or 16 more.
    ///
    /// ```
    /// # psmith::init();
    /// let pool = psmith::Pool::builder().build().unwrap();
    /// assert_eq!(pool.pending(), 0);
    /// ```
    pub fn builder() -> PoolBuilder {
        PoolBuilder { options: Options::of(face::POOL), init: None, exit: None, makes: PhantomData }
    }
}

impl PoolBuilder {
    /// Sets the function that every worker calls before its first job and whose value it keeps, for jobs to use through
    /// [`with_state`](crate::with_state). A panic in it is the failure of the job that the worker was to run. With
    /// `Isolation::PerJob` each job has a state of its own.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool, with_state};
    /// struct Connection { uses: u32 }
    ///
    /// let pool = Pool::builder()
    ///     .workers(1)
    ///     .init(|| Connection { uses: 0 })
    ///     .exit(|connection: Connection| assert_eq!(connection.uses, 2))
    ///     .build()
    ///     .unwrap();
    /// let query = |_: ()| with_state(|connection: &mut Connection| { connection.uses += 1; connection.uses }).unwrap();
    /// let uses = [(); 2].map(|()| pool.submit(Job::new(query, ())).unwrap().wait().unwrap());
    /// assert_eq!(uses, [1, 2]);
    /// ```
    pub fn init<S: 'static>(self, init: fn() -> S) -> PoolBuilder<S> {
        self.state_by(FirstCall::new(making(init)))
    }

    /// Sets the function that every worker calls before its first job, as [`init`](PoolBuilder::init) does, with this
    /// value, which is encoded once, at this call, and reaches each worker once.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool, with_state};
    /// struct Connection { server: String }
    ///
    /// let server = "localhost:80".to_owned();
    /// let pool = Pool::builder().workers(1).init_with(&server, |server| Connection { server }).build().unwrap();
    /// let ask = |_: ()| with_state(|connection: &mut Connection| connection.server.clone());
    /// assert_eq!(pool.submit(Job::new(ask, ())).unwrap().wait().unwrap(), Some(server));
    /// ```
    pub fn init_with<A: 'static, S: 'static>(self, value: &A, init: fn(A) -> S) -> PoolBuilder<S>
    where
        Described: Codec<A>,
    {
        self.state_by(FirstCall::with(making_with(init), value))
    }

    fn state_by<S>(self, init: Result<FirstCall, String>) -> PoolBuilder<S> {
        PoolBuilder { options: self.options, init: Some(init), exit: None, makes: PhantomData }
    }
}

impl<S: 'static> PoolBuilder<S> {
    /// Sets the function to which a worker that ends in good order gives its state: after its last job, when it was
    /// idle, or when the pool is joined and dropped. A worker that crashes, panics or is killed cannot.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool, with_state};
    /// let pool = Pool::builder().workers(1).init(Vec::<u32>::new).exit(|seen: Vec<u32>| assert_eq!(seen, [7])).build().unwrap();
    /// let see = |n: u32| with_state(|seen: &mut Vec<u32>| seen.push(n)).unwrap();
    /// pool.submit(Job::new(see, 7)).unwrap().wait().unwrap();
    /// ```
    pub fn exit(mut self, exit: fn(S)) -> Self {
        self.exit = Some(FirstCall::new(exiting(exit)));
        self
    }
}

impl<S> PoolBuilder<S> {
    settings!(options);
    listening!(options);

    /// The pool. It has at least one worker: without processes (`workers(0)`) there is none. No process is started
    /// before the first job.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{EngineError, Pool, ResourceLimits};
    /// assert!(Pool::builder().build().is_ok());
    /// // Too little to start a program in.
    /// let refused = Pool::builder().limits(ResourceLimits::new().memory(1)).build();
    /// assert!(matches!(refused, Err(EngineError::Setting(_))));
    /// ```
    ///
    /// # Errors
    /// A setting that is not valid, or no threads or descriptors. An error that appears only when the first process is
    /// started is the failure of the jobs.
    pub fn build(self) -> Result<Pool, EngineError> {
        let PoolBuilder { mut options, init, exit, .. } = self;
        let state = init.into_iter().chain(exit).collect::<Result<Vec<_>, _>>();
        options.state = state.map_err(|reason| {
            EngineError::Setting(format!("the init or exit function of the pool: {reason}"))
        })?;
        Pool::begin(&options, None)
    }
}
