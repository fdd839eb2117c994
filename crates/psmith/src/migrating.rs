//! The pages of `docs/migrating`, whose examples are compiled and run with those of the documentation. This module exists
//! in no other build.

#![doc = include_str!("../../../docs/migrating/concurrent-futures.md")]
#![doc = include_str!("../../../docs/migrating/joblib.md")]
#![doc = include_str!("../../../docs/migrating/procrastinate.md")]
#![doc = include_str!("../../../docs/migrating/procspawn.md")]
#![doc = include_str!("../../../docs/migrating/rayon.md")]
#![doc = include_str!("../../../docs/migrating/ruby-parallel.md")]
#![doc = include_str!("../../../docs/migrating/std-process.md")]
