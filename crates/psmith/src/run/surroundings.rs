//! The environment and the working directory of this program, as a run found them at its begin, and whether they have
//! changed: a process that is started later has those of the time at which its job was handed in.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use psmith_engine::command::OwnSurroundings;

use crate::run::worker_budget;

/// The surroundings of this program when a run began.
#[derive(Debug)]
pub(crate) struct HostSurroundings {
    /// `K=V` and NUL, back to back, with the run's own variable.
    env: Vec<u8>,
    dir: Option<PathBuf>,
    /// The variable by which the run's jobs find its budget.
    variable: Vec<u8>,
}

impl HostSurroundings {
    /// Returns those of now, for a run whose jobs get this variable.
    pub(crate) fn now(variable: Vec<u8>) -> HostSurroundings {
        HostSurroundings { env: environment(&variable), dir: std::env::current_dir().ok(), variable }
    }

    /// Returns the environment of the run.
    pub(crate) fn env(&self) -> &[u8] {
        &self.env
    }

    /// Returns what has changed since.
    pub(crate) fn changed(&self) -> Option<Arc<OwnSurroundings>> {
        let env = Some(environment(&self.variable)).filter(|env| *env != self.env);
        // A directory that was removed has no name: the job has the run's.
        let dir = std::env::current_dir().ok().filter(|dir| Some(dir) != self.dir.as_ref());
        let dir = dir.map(|dir| dir.into_os_string().into_vec());
        (env.is_some() || dir.is_some()).then(|| Arc::new(OwnSurroundings { env, dir }))
    }
}

fn environment(variable: &[u8]) -> Vec<u8> {
    let inherited = std::env::vars_os().filter(|(key, _)| key != worker_budget::VARIABLE);
    let mut env = Vec::new();
    inherited.for_each(|(key, value)| push(&mut env, key, value));
    env.extend_from_slice(variable);
    env
}

fn push(env: &mut Vec<u8>, key: OsString, value: OsString) {
    env.extend(key.into_vec());
    env.push(b'=');
    env.extend(value.into_vec());
    env.push(0);
}
