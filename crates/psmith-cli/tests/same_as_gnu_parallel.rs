//! Output of `--dry-run` is what GNU parallel prints for the same words, if the two promise the same.
//!
//! Without `parallel` there is nothing to compare with, and the test reports that.

use psmith_testkit::need;
use psmith_testkit::need::Need;
use std::io::Write;
use std::process::{Command, Stdio};

/// Returns the standard output of a command that reads this.
fn printed(program: &str, first: &[&str], words: &[&str], stdin: &str) -> Option<String> {
    let mut child = Command::new(program)
        .args(first)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut pipe = child.stdin.take()?;
    // A command that takes its inputs from its words may end without reading.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().ok()?;
    assert!(output.status.success(), "{program} {words:?}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn the_same_words_make_the_same_commands() {
    let cases: &[(&[&str], &str)] = &[
        (&["echo", ":::", "a", "b c", "it", "$x", ""], ""),
        (&["echo", "x{}y", ":::", "a", "b"], ""),
        (&["echo", "a", "{}", "b", "{}", ":::", "x"], ""),
        (&["echo"], "a\n\nb"),
        (&["-r", "echo"], "a\n\nb\n"),
        (&["-0", "echo"], "a\0b\0"),
        (&["-d", ",", "echo"], "a,b,"),
        (&["-d", "XX", "echo"], "aXXbXX"),
        (&["echo", "{/}", "{.}", "{//}", "{/.}", ":::", "d/a.tar.gz", "e", "/x", "d.x/f"], ""),
        (&["--plus", "echo", "{..}", "{+/}", "{/..}", "{+..}", ":::", "d/a.tar.gz"], ""),
        (&["-j1", "echo", "{#}", "{%}", ":::", "a", "b"], ""),
        (&["echo", ":::", "a", "b", ":::", "1", "2", "3"], ""),
        (&["echo", "{2}-{1}", "{2.}", ":::", "a", "b", ":::", "1.x", "2"], ""),
        (&["echo", "{}", ":::", "a", "b", ":::", "1"], ""),
        (&["echo", ":::", "a", "b", "c", ":::+", "1", "2"], ""),
        (&["echo", ":::", "a", "b", ":::", "1", "2", ":::+", "x", "y"], ""),
        (&["echo", ":::", "a", "b", ":::+", "1", "2", ":::", "x", "y"], ""),
        (&["echo", "::::", "-", ":::", "1", "2"], "x\ny\n"),
        (&["-C", ",", "echo", "{2}", "{1}"], "a,b\nc,d\n"),
        (&["-C", "[,;]", "echo"], "a,b;c\nd\n"),
        (&["-C", ",", "--header", ":", "echo", "{m}-{n}"], "n,m\n1,2\n3,4\n"),
        (&["--header", ":", "echo", "{n.}", "{m}", ":::", "n", "1.5", "2", ":::", "m", "x"], ""),
        (&["-n2", "echo"], "1\n2\n3\n"),
        (&["-n2", "echo", "{1}-{2}"], "1\n2\n3\n4\n"),
        (&["-N2", "echo", "x{}y", "{1}"], "1\n2\n3\n"),
        (&["-N0", "echo", "hi", "{#}"], "1\n2\n"),
        (&["-j3", "-X", "echo", "a{}b"], "1\n2\n3\n4\n5\n6\n7\n"),
        (&["-j2", "-m", "echo", "x", "{}"], "1\n2\n3\n4\n5\n"),
        (&["-j3", "-X", "-n2", "echo", "a{}b"], "1\n2\n3\n4\n5\n"),
        (&["--link", "echo", ":::", "a", "b", "c", ":::", "1", "2", ":::", "x"], ""),
        (&["--link", "echo", "{#}/{2}", "::::", "-", ":::", "1", "2"], "x\ny\nz\n"),
        (&["-I", ",,", "echo", ",,"], "a\nb\n"),
        (&["-k", "--will-cite", "echo", "-n", "-k", ":::", "a"], ""),
    ];
    need!("CLI section 8", Need::Program("parallel"));
    for (words, stdin) in cases {
        let ours = printed(env!("CARGO_BIN_EXE_psmith"), &["run", "--dry-run"], words, stdin);
        let theirs =
            printed("parallel", &["--will-cite", "-k", "--dry-run"], words, stdin).expect("parallel runs");
        assert_eq!(ours.as_deref(), Some(&theirs[..]), "{words:?}");
    }
}
