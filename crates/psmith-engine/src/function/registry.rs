//! Functions by name.
//!
//! `#[psmith::job]` puts each function into a table that the linker puts together, so it is there in every process of
//! the program, before anything runs. A job that outlives the program names its function so; within one program the
//! name serves where a function cannot be told by its place (it lies in a shared library).

use std::any::TypeId;

pub use linkme;
use psmith_sys::executable::{self, EntryFunction, ForeignFunction, FunctionOffset};
use serde::{Deserialize, Serialize};

/// A function in the table. Made by `#[psmith::job]`.
#[derive(Debug)]
pub struct Registered {
    /// `crate::module::function`.
    pub name: &'static str,
    /// Which function, in this process.
    pub identity: fn() -> TypeId,
    /// How it is called.
    pub entry: fn() -> EntryFunction,
}

/// The table. Filled by the linker; its order means nothing.
#[linkme::distributed_slice]
pub static JOBS: [Registered];

/// A function as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// Its place in the image, with the check of [`FunctionOffset`].
    Placed(i64, u64),
    /// Its name in the table.
    Named(String),
}

impl Function {
    /// The function whose entry this is, and which has this identity.
    pub fn of(entry: EntryFunction, identity: TypeId) -> Result<Function, ForeignFunction> {
        match executable::distance_of(entry) {
            Ok(distance) => {
                let (bytes, check) = distance.to_raw();
                Ok(Function::Placed(bytes, check))
            }
            Err(foreign) => {
                let found = JOBS.iter().find(|job| (job.identity)() == identity);
                found.map(|job| Function::Named(job.name.to_owned())).ok_or(foreign)
            }
        }
    }

    /// The function of this name in the table.
    pub fn named(name: &str) -> Result<Function, String> {
        let function = Function::Named(name.to_owned());
        function.find().map(|_| function)
    }

    /// How it is called in this process.
    pub fn find(&self) -> Result<EntryFunction, String> {
        match self {
            Function::Placed(bytes, check) => executable::entry_at(FunctionOffset::from_raw(*bytes, *check))
                .map_err(|error| error.to_string()),
            Function::Named(name) => {
                let mut found = JOBS.iter().filter(|job| job.name == name);
                match (found.next(), found.next()) {
                    (Some(job), None) => Ok((job.entry)()),
                    (None, _) => Err(format!("this program has no job function '{name}'")),
                    (Some(_), Some(_)) => Err(format!("two job functions are named '{name}'")),
                }
            }
        }
    }
}

/// The names of all functions marked with `#[psmith::job]`, in no order.
///
/// ```
/// #[psmith::job]
/// fn double(number: u32) -> u32 { number * 2 }
///
/// # fn main() {
/// assert!(psmith::registry::names().any(|name| name.ends_with("double")));
/// # }
/// ```
pub fn names() -> impl Iterator<Item = &'static str> {
    JOBS.iter().map(|job| job.name)
}
