//! The acceptance table of the command's contract, row by row, in the order of learning: exact stdout and exit code,
//! and the text that stderr must hold. A row marked `gnu` gives the same stdout and exit code as GNU parallel for the
//! same line without `-s`, which a second test runs if `parallel` is installed.

use psmith_testkit::need::Need;
use psmith_testkit::{Scene, need, scene};

/// The text that stderr must hold.
enum Says {
    /// Not a byte.
    Nothing,
    /// Text.
    Text(&'static str),
    /// Lines, this many, that each name a failed job.
    Failures(usize),
}
use Says::{Failures, Nothing, Text};

fn check(scene: &Scene, args: &[&str], stdin: &str, stdout: &str, says: &Says, exit: i32) {
    let command = scene.psmith(args);
    let ended = if stdin.is_empty() { command.run() } else { command.stdin(stdin).run() };
    ended.assert_out(stdout).assert_code(exit);
    match says {
        Nothing => drop(ended.assert_quiet()),
        Text(text) => drop(ended.assert_err_has(text)),
        Failures(count) => assert_eq!(ended.failure_lines().len(), *count, "{}", ended.err()),
    }
}

/// Runs the row with GNU parallel, which has no `-s`: each of its commands is a script already.
fn check_gnu(args: &[&str], stdin: &str, stdout: &str, exit: i32) {
    need!("acceptance table", Need::Program("parallel"));
    let scene = scene!();
    let args = args.iter().filter(|arg| **arg != "-s");
    let command = scene.program("parallel").arg("--will-cite").args(args);
    let ended = if stdin.is_empty() { command.run() } else { command.stdin(stdin).run() };
    ended.assert_out(stdout).assert_code(exit);
}

macro_rules! row {
    ($name:ident, $args:expr, $stdin:expr, $stdout:expr, $says:expr, $exit:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn psmith() {
                check(&scene!(), &$args, $stdin, $stdout, &$says, $exit);
            }
        }
    };
    (gnu $name:ident, $args:expr, $stdin:expr, $stdout:expr, $says:expr, $exit:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn psmith() {
                check(&scene!(), &$args, $stdin, $stdout, &$says, $exit);
            }

            #[test]
            fn gnu_parallel_agrees() {
                check_gnu(&$args, $stdin, $stdout, $exit);
            }
        }
    };
}

row!(gnu row_01, ["echo", ":::", "a"], "", "a\n", Nothing, 0);
row!(gnu row_02, ["-k", "echo", ":::", "a", "b", "c"], "", "a\nb\nc\n", Nothing, 0);
row!(gnu row_03, ["-k", "echo", "x{}y", ":::", "a", "b"], "", "xay\nxby\n", Nothing, 0);
row!(gnu row_04, ["-k", "echo", "a", "{}", "b", "{}", ":::", "x"], "", "a x b x\n", Nothing, 0);
row!(gnu row_05, ["-k", "echo"], "a\nb", "a\nb\n", Nothing, 0);
row!(gnu row_06, ["-k", "echo", "[{}]"], "a\n\nb\n", "[a]\n[]\n[b]\n", Nothing, 0);
row!(gnu row_07, ["-r", "-k", "echo", "[{}]"], "a\n\nb\n", "[a]\n[b]\n", Nothing, 0);
row!(gnu row_08, ["echo", "[{}]"], "a\r\n", "[a\r]\n", Nothing, 0);
row!(gnu row_09, ["echo"], "", "", Nothing, 0);
row!(row_10, ["--require-input", "echo"], "", "", Text("error: no input"), 124);
row!(gnu row_11, ["-0", "-k", "echo"], "a\0b\0", "a\nb\n", Nothing, 0);
row!(gnu row_12, ["-d", ",", "-k", "echo"], "a,b", "a\nb\n", Nothing, 0);
row!(gnu row_13, ["echo", "-n", ":::", "a"], "", "a", Nothing, 0);
row!(gnu row_14, ["echo", ":::", "a  b"], "", "a  b\n", Nothing, 0);
row!(gnu row_15, ["echo", ":::", "$HOME; *"], "", "$HOME; *\n", Nothing, 0);
row!(row_16, ["echo", "a  b", ":::", "c"], "", "a  b c\n", Nothing, 0);
row!(gnu row_17, ["-k", "echo", "{/}", "{.}", ":::", "d/a.tar.gz"], "", "a.tar.gz d/a.tar\n", Nothing, 0);
row!(gnu row_18, ["-k", "echo", "{//}", "{/.}", ":::", "d/a.c", "e"], "", "d a\n. e\n", Nothing, 0);
row!(row_19, ["echo", "{{}}", ":::", "a"], "", "{}\n", Nothing, 0);
row!(gnu row_20, ["echo", "{foo}", ":::", "a"], "", "{foo} a\n", Nothing, 0);
row!(gnu row_21, ["-j1", "-k", "echo", "{#}", "{%}", ":::", "a", "b"], "", "1 1\n2 1\n", Nothing, 0);
row!(row_22, ["-k", "echo", "{#}/{##}", ":::", "a", "b"], "", "1/2\n2/2\n", Nothing, 0);
row!(
    gnu row_23,
    ["-k", "echo", ":::", "a", "b", ":::", "1", "2"],
    "",
    "a 1\na 2\nb 1\nb 2\n",
    Nothing,
    0
);
row!(
    gnu row_24,
    ["-k", "echo", "{2}-{1}", ":::", "a", "b", ":::", "1", "2"],
    "",
    "1-a\n2-a\n1-b\n2-b\n",
    Nothing,
    0
);
row!(gnu row_25, ["-k", "echo", ":::", "a", "b", ":::+", "1", "2"], "", "a 1\nb 2\n", Nothing, 0);
row!(
    gnu row_26,
    ["-k", "echo", ":::", "a", "b", "c", ":::+", "1", "2"],
    "",
    "a 1\nb 2\n",
    Text("warning: 1 value left over"),
    0
);
row!(gnu row_27, ["-k", "echo", "::::", "-", ":::", "1", "2"], "x\n", "x 1\nx 2\n", Nothing, 0);
row!(gnu row_28, ["-k", "-C", ",", "echo", "{2}{1}"], "a,b\nc\n", "ba\nc\n", Nothing, 0);
row!(
    gnu row_29,
    ["-k", "-C", ",", "--header", ":", "echo", "{m}-{n}"],
    "n,m\n1,2\n3,4\n",
    "2-1\n4-3\n",
    Nothing,
    0
);
row!(gnu row_30, ["-k", "-n2", "echo"], "1\n2\n3\n", "1 2\n3\n", Nothing, 0);
row!(gnu row_31, ["-k", "-n2", "echo", "x{}y"], "1\n2\n", "x1 2y\n", Nothing, 0);
row!(gnu row_32, ["-k", "-N2", "echo", "{1}-{2}"], "1\n2\n3\n", "1-2\n3-\n", Nothing, 0);
row!(gnu row_33, ["-k", "-N0", "echo", "hi"], "1\n2\n", "hi\nhi\n", Nothing, 0);
row!(gnu row_34, ["-j1", "-X", "echo", "a{}b"], "1\n2\n", "a1b a2b\n", Nothing, 0);
row!(gnu row_35, ["-j1", "-m", "echo", "a{}b"], "1\n2\n", "a1 2b\n", Nothing, 0);
row!(gnu row_36, ["-k", "-I", ",,", "echo", ",,{}", ":::", "a"], "", "a{}\n", Nothing, 0);
row!(gnu row_37, ["-s", "echo {}; echo {}", ":::", "a;b"], "", "a;b\na;b\n", Nothing, 0);
row!(row_38, ["-s", "echo \"{}\"", ":::", "$x"], "", "$x\n", Nothing, 0);
row!(gnu row_39, ["-k", "-s", ":::", "echo one", "exit 3"], "", "one\n", Text("job 2 failed: exit 3"), 1);
row!(gnu row_40, ["-k", "-s"], "echo one\necho two\n", "one\ntwo\n", Nothing, 0);
row!(row_41, ["echo {}", ":::", "a"], "", "", Text("one word with shell characters"), 125);
row!(gnu row_42, ["-j2", "-s", "sleep 0.{}; echo {}", ":::", "5", "1"], "", "1\n5\n", Nothing, 0);
row!(gnu row_43, ["-j2", "-k", "-s", "sleep 0.{}; echo {}", ":::", "5", "1"], "", "5\n1\n", Nothing, 0);
row!(gnu row_44, ["-k", "--tag", "echo", "x", ":::", "a", "b"], "", "a\tx a\nb\tx b\n", Nothing, 0);
row!(gnu row_45, ["-k", "--tagstring", "t{#}", "echo", "x", ":::", "a"], "", "t1\tx a\n", Nothing, 0);
row!(gnu row_46, ["-s", "cat; echo {}", ":::", "A"], "in\n", "A\n", Nothing, 0);
row!(gnu row_47, ["-s", "exit {}", ":::", "0", "1", "2"], "", "", Failures(2), 2);
row!(gnu row_48, ["-s", "exit {}", ":::", "150"], "", "", Text("exit 150"), 1);
row!(row_49, ["--exit", "first", "-s", "exit {}", ":::", "150"], "", "", Text("exit 150"), 150);
row!(row_50, ["--exit", "class", "-s", "exit {}", ":::", "4", "5"], "", "", Failures(2), 1);
row!(row_51, ["--exit", "any-zero", "-s", "exit {}", ":::", "1", "0"], "", "", Text("exit 1"), 0);
row!(gnu row_52, ["-s", "kill -9 $$ # {}", ":::", "a"], "", "", Text("failed: signal 9 (KILL)"), 1);
row!(row_53, ["nosuch", ":::", "1", "2"], "", "", Text("nosuch: not found in PATH"), 127);
row!(
    gnu row_54,
    ["-j1", "--halt", "soon,fail=2", "-s", "echo {}; exit {}", ":::", "3", "4", "5"],
    "",
    "3\n4\n",
    Failures(2),
    2
);
row!(
    gnu row_55,
    ["-j1", "--halt", "now,success=1", "-s", "echo {}; exit {}", ":::", "3", "0", "5"],
    "",
    "3\n0\n",
    Text("exit 3"),
    0
);
row!(
    gnu row_56,
    ["-j1", "--halt", "now,done=2", "-s", "echo {}; exit {}", ":::", "3", "0", "5"],
    "",
    "3\n0\n",
    Text("exit 3"),
    1
);
row!(
    gnu row_57,
    ["--retries", "3", "-s", "echo {}; exit 1", ":::", "a"],
    "",
    "a\n",
    Text("failed: exit 1, 3 tries"),
    1
);
row!(
    gnu row_58,
    ["--timeout", "1", "sleep", ":::", "0", "5"],
    "",
    "",
    Text("failed: timeout after 1s"),
    1
);
row!(
    gnu row_59,
    ["-k", "--dry-run", "echo", ":::", "a b", "$x"],
    "",
    "echo 'a b'\necho '$x'\n",
    Nothing,
    0
);
row!(row_62, ["--timeout", "10x", "echo", ":::", "a"], "", "", Text("is not a duration"), 125);

mod row_60 {
    use super::*;

    #[test]
    fn psmith() {
        let scene = scene!();
        check(&scene, &["--results", "x.jsonl", "--show", "none", "echo", ":::", "a"], "", "", &Nothing, 0);
        let text = scene.text("x.jsonl");
        let row: serde_json::Value = serde_json::from_str(text.trim_end()).expect("one JSON object");
        assert_eq!((&row["Stdout"], &row["Exitval"]), (&"a\n".into(), &0.into()), "{row}");
    }
}

mod row_61 {
    use super::*;

    #[test]
    fn psmith() {
        let scene = scene!();
        check(&scene, &["--joblog", "j", "echo", ":::", "a"], "", "a\n", &Nothing, 0);
        check(&scene, &["--joblog", "j", "--resume", "echo", ":::", "a", "b"], "", "b\n", &Nothing, 0);
    }
}
