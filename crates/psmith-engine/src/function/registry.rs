//! Functions by name.
//!
//! `#[psmith::job]` puts each function into a table that the linker assembles, so it is there in every process of the
//! program, before anything runs. A job that outlives the program names its function; within one program the name
//! serves where a function has no offset in the image (it is in a shared library).

use std::any::TypeId;

pub use linkme;
use psmith_sys::executable::{self, ForeignFunction, FunctionEntry, FunctionOffset};
use serde::{Deserialize, Serialize};

/// A function in the table, made by `#[psmith::job]`.
#[derive(Debug)]
pub struct Registered {
    /// The function's path: `crate::module::function`.
    pub name: &'static str,
    /// Returns its entry, and the identity of the way in which it is called.
    pub entry: fn() -> (FunctionEntry, TypeId),
}

/// The table. Filled by the linker; its order means nothing.
#[linkme::distributed_slice]
pub static JOBS: [Registered];

/// A reference to a function that means the same in every process of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// The offsets of the function and of its trampoline in the image, with the check of [`FunctionOffset`].
    Placed([i64; 2], u64),
    /// The function's name in the table.
    Named(String),
}

impl Function {
    /// Returns the function with this entry, which is called in the way of this identity.
    pub fn of((entry, identity): (FunctionEntry, TypeId)) -> Result<Function, ForeignFunction> {
        match executable::distance_of(entry) {
            Ok(distance) => {
                let (bytes, check) = distance.to_raw();
                Ok(Function::Placed(bytes, check))
            }
            Err(foreign) => {
                let mut jobs = JOBS.iter();
                let found = jobs.find(|job| {
                    let (other, way) = (job.entry)();
                    way == identity && other.address() == entry.address()
                });
                found.map(|job| Function::Named(job.name.to_owned())).ok_or(foreign)
            }
        }
    }

    /// Returns the function of this name in the table.
    pub fn named(name: &str) -> Result<Function, String> {
        let function = Function::Named(name.to_owned());
        function.find().map(|_| function)
    }

    /// Returns its entry in this process.
    pub fn find(&self) -> Result<FunctionEntry, String> {
        match self {
            Function::Placed(bytes, check) => executable::entry_at(FunctionOffset::from_raw(*bytes, *check))
                .map_err(|error| error.to_string()),
            Function::Named(name) => {
                let mut found = JOBS.iter().filter(|job| job.name == name);
                match (found.next(), found.next()) {
                    (Some(job), None) => Ok((job.entry)().0),
                    (None, _) => Err(format!("this program has no job function '{name}'")),
                    (Some(_), Some(_)) => Err(format!("two job functions are named '{name}'")),
                }
            }
        }
    }
}

/// Returns the names of all functions marked with `#[psmith::job]`, in no order.
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
