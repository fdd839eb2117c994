//! A command that names its slot is recognised by a later run, in which the job would get another slot.

use psmith_testkit::records::joblog;
use psmith_testkit::scene;

/// A command of which three jobs run at once, so in three slots.
const TOGETHER: &str = "echo {%} {} >> ran; while [ $(wc -l < ran) -lt 3 ]; do sleep 0.01; done; echo {%} {}";

// proves: P-6: jobs that were done in slots 2 and 3 were run again, because their texts were compared with those that
// they would have in slot 1
#[test]
fn jobs_done_in_any_slot_are_skipped() {
    let scene = scene!();
    let run = |width: &str, more: &[&str], inputs: &[&str]| {
        scene
            .psmith(["-k", width, "--joblog", "j"])
            .args(more)
            .args(["-s", TOGETHER, ":::"])
            .args(inputs)
            .run()
    };
    run("-j3", &[], &["a", "b", "c"]).assert_code(0).assert_out("1 a\n2 b\n3 c\n");
    run("-j1", &["--resume"], &["a", "b", "c"]).assert_code(0).assert_out("");
    run("-j1", &["--resume-failed"], &["a", "b", "c", "d"]).assert_code(0).assert_out("1 d\n");
    assert_eq!(joblog(&scene.text("j")).len(), 4);
    // The position counts here: what is at another one now is run again, and never skipped by mistake.
    run("-j1", &["--resume"], &["b", "a", "c", "d"]).assert_code(0).assert_out("1 b\n1 a\n");
}
