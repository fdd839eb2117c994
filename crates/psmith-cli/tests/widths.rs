//! A job that is too large for a message to the warden.

use psmith_testkit::scene;

// The warden broke the connection over it, and its end took all others along.
// proves: F-64
#[test]
fn a_job_too_large_for_a_message_fails_alone() {
    let scene = scene!();
    // Jobs of 180 words; only the first one's are long.
    let input = format!("{}{}", format!("{}\n", "w".repeat(100_000)).repeat(180), "\n".repeat(180));
    let ended = scene.psmith(["-j2", "-k", "-N180", "sh", "-c", "echo $#"]).stdin(input).run();
    ended.assert_code(1).assert_out("179\n");
    ended.assert_err_has("bytes together, more than the limit of ");
}
