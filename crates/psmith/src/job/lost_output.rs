//! Output of a job that got lost, as its caller learns of it. Data alone.

use std::fmt;

use psmith_engine::handler::{AttemptOutput, LossReason};

/// Output that a job wrote, and that was neither kept nor passed on although it should have been.
///
/// ```
/// # psmith::init();
/// let loud = |_: ()| Err::<(), _>({ println!("{}", "x".repeat(1_000)); "failed" });
/// let ends = psmith::try_map([()], loud).output(psmith::Output::OnFailure).max_output_bytes(10);
/// let lost = ends.into_iter().next().unwrap().unwrap_err().lost_output.clone().unwrap();
/// assert_eq!(lost.stdout_bytes, 991);
/// assert_eq!(lost.to_string(), "991 bytes of output were not kept: more than 10 bytes (max_output_bytes)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostOutput {
    /// Bytes of its standard output.
    pub stdout_bytes: u64,
    /// Bytes of its standard error.
    pub stderr_bytes: u64,
    /// The reason, as its text tells it.
    pub reason: String,
}

impl fmt::Display for LostOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of output were {}", self.stdout_bytes + self.stderr_bytes, self.reason)
    }
}

impl LostOutput {
    pub(crate) fn of(output: &AttemptOutput) -> Option<LostOutput> {
        let [stdout_bytes, stderr_bytes] = output.lost;
        let why = output.lost_why.as_ref().filter(|_| stdout_bytes + stderr_bytes > 0)?;
        Some(LostOutput { stdout_bytes, stderr_bytes, reason: reason(why) })
    }
}

/// Returns a reason as it follows "were".
fn reason(why: &LossReason) -> String {
    match why {
        LossReason::Limit(bytes) => format!("not kept: more than {bytes} bytes (max_output_bytes)"),
        LossReason::Kept(error) => format!("not kept: {error}"),
        LossReason::PassedOn(error) => format!("not passed on: {error}"),
    }
}
