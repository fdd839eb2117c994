//! Attacks by way of inputs, names, the environment, temporary files and the warden's marker.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use psmith_testkit::{Scene, proc, scene, wicked};

/// Inputs that a shell would obey if it ever read them.
const HOSTILE: &[&[u8]] = &[
    b"x; touch owned",
    b"x\ntouch owned",
    b"$(touch owned)",
    b"`touch owned`",
    b"'; touch owned; '",
    b"\"; touch owned; \"",
    b"' | touch owned #",
    b"\\'; touch owned; \\'",
    b"${x:=$(touch owned)}",
    b"-exec touch owned ;",
    b"--version",
    b"<(touch owned)",
    b"\xff'; touch owned; '",
];

// proves: SEC-shell
#[test]
fn no_input_is_ever_read_by_a_shell() {
    let stdin: Vec<u8> = HOSTILE.iter().flat_map(|input| [*input, b"\0"].concat()).collect();
    let expected: Vec<u8> = HOSTILE.iter().flat_map(|input| [*input, b"\n"].concat()).collect();
    for script in [
        "printf '%s\\n' {}",
        "printf '%s\\n' \"{}\"",
        "printf '%s\\n' '{}'",
        "x={}; printf '%s\\n' \"$x\"",
        "printf '%s\\n' $(printf '%s' {} > f; echo f) > /dev/null; cat f; echo",
    ] {
        let scene = scene!();
        let ended = scene.psmith(["-j1", "-0", "-k", "-s", script]).stdin(stdin.clone()).run();
        ended.assert_code(0).assert_quiet();
        assert!(!scene.path("owned").exists(), "{script} ran an input");
        assert!(ended.stdout == expected, "{script}: {}", ended.out());
    }
    // Without a shell nothing obeys it.
    let scene = scene!();
    let ended = scene.psmith(["-0", "-k", "printf", "%s\\n"]).stdin(stdin).run();
    ended.assert_code(0).assert_out(&expected);
    assert!(!scene.path("owned").exists());
}

// proves: SEC-shell
#[test]
fn where_quoting_cannot_hold_nothing_is_started() {
    for script in ["echo `echo {}`", "echo $((1 + {}))", "echo ${x:-{}}", "cat <<E\n{}\nE\n"] {
        let scene = scene!();
        let ended = scene.psmith(["-s", script, ":::", "1"]).run();
        ended.assert_code(125).assert_out("").assert_err_has("psmith: error: ");
    }
}

// proves: SEC-shell, SEC-names: NUL is refused, job by job, and harms no neighbour
#[test]
fn a_nul_byte_is_no_argument() {
    let scene = scene!();
    let ended = scene.psmith(["-k", "echo"]).stdin("a\nb\0c\nd\n").run();
    ended.assert_code(1).assert_out("a\nd\n").assert_err_has("NUL");
}

// proves: SEC-names
#[test]
fn an_input_is_no_option_of_psmith() {
    let scene = scene!();
    // Neither from stdin, nor after `:::`, nor in a batch.
    let inputs = "--joblog=owned\n--results=owned\n-s\n--events\nowned\n";
    scene.psmith(["-k", "echo", "--"]).stdin(inputs).run().assert_code(0);
    scene.psmith(["-k", "echo", ":::", "--joblog=owned", "--results", "owned"]).run().assert_code(0);
    scene.psmith(["-X", "echo"]).stdin(inputs).run().assert_code(0);
    assert!(!scene.path("owned").exists());
    assert_eq!(std::fs::read_dir(scene.cwd()).expect("a directory").count(), 0);
}

// proves: SEC-names: a directory of results is named by numbers, so no input can lead out of it
#[test]
fn results_stay_in_their_directory() {
    let scene = scene!();
    let names = ["../../escape", "/escape", "..", "a/../../b", "-rf", "new\nline"];
    let ended =
        scene.psmith(["--results", "out", "--show", "none", "-0", "echo"]).stdin(names.join("\0")).run();
    ended.assert_code(0).assert_quiet();
    let top: Vec<String> = std::fs::read_dir(scene.cwd())
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(top, ["out"]);
    let jobs = std::fs::read_dir(scene.path("out/0")).expect("a directory").count();
    assert_eq!(jobs, names.len());
}

// proves: SEC-names, SEC-temp: a file planted under a result's name is not followed
#[test]
fn a_symlink_in_the_way_of_a_result_is_not_followed() {
    let scene = scene!();
    scene.write("precious", "precious\n");
    std::fs::create_dir(scene.path("out")).expect("a directory");
    symlink(scene.path("precious"), scene.path("out/a.txt")).expect("a link");
    symlink(scene.path("precious"), scene.path("out/a.err")).expect("a link");
    let ended =
        scene.psmith(["--results", "out/{}.txt", "-s", "echo owned {}; echo owned >&2", ":::", "a"]).run();
    assert_eq!(scene.text("precious"), "precious\n", "{}", ended.err());
    // The directory's own layout is attacked in the same way.
    std::fs::create_dir_all(scene.path("dir/0/1")).expect("a directory");
    for name in ["stdout", "stderr", "job.json"] {
        symlink(scene.path("precious"), scene.path(format!("dir/0/1/{name}"))).expect("a link");
    }
    let ended = scene.psmith(["--results", "dir", "-s", "echo owned {}; echo owned >&2", ":::", "a"]).run();
    assert_eq!(scene.text("precious"), "precious\n", "{}", ended.err());
}

// proves: SEC-names: a huge line ends in an error of that job, and memory stays flat
#[test]
fn a_huge_input_fails_alone() {
    let scene = scene!();
    let mut stdin = vec![b'x'; 40_000_000];
    stdin.extend_from_slice(b"\nshort\n");
    let ended = scene.psmith(["-k", "echo"]).stdin(stdin).run();
    ended.assert_out("short\n").assert_code(1);
    assert!(ended.stderr.len() < 10_000, "{} bytes on stderr", ended.stderr.len());
}

/// Runs the check with psmith and its one child while a job waits.
fn with_a_standing_job(scene: &Scene, check: impl FnOnce(i32, i32)) {
    let mut ready = scene.ready("ready");
    let script = format!(
        "\"$W\" flood 9000000; echo up > {}; while [ ! -e go ]; do sleep 0.02; done # {{}}",
        ready.as_str()
    );
    let running = scene
        .shell("umask 0; exec \"$PSMITH\" --joblog j --results r -s \"$JOB\" ::: a")
        .env("JOB", script)
        .env("W", wicked())
        .start();
    ready.wait();
    let warden = proc::children(running.pid())[0];
    check(running.pid(), warden);
    scene.write("go", "");
    running.wait().assert_code(0);
}

// proves: SEC-temp: output that waits on disk has no name, so no process can open, link or replace it
#[test]
fn spools_have_no_name_and_no_other_reader() {
    let scene = scene!();
    with_a_standing_job(&scene, |psmith, _| {
        assert_eq!(std::fs::read_dir(scene.tmp()).expect("a directory").count(), 0, "nothing has a name");
        let spools: Vec<_> = std::fs::read_dir(format!("/proc/{psmith}/fd"))
            .expect("our own child")
            .flatten()
            .filter_map(|entry| {
                let target = std::fs::read_link(entry.path()).ok()?;
                target.starts_with(scene.tmp()).then(|| entry.path())
            })
            .collect();
        assert!(!spools.is_empty(), "9 MB wait somewhere");
        for spool in spools {
            let mode = std::fs::metadata(&spool).expect("an open file").permissions().mode();
            assert_eq!(mode & 0o077, 0, "umask 0 opens no spool to others: {mode:o}");
        }
    });
}

// proves: SEC-temp: a TMPDIR full of traps is as good as an empty one
#[test]
fn names_that_lie_in_wait_in_tmpdir_are_not_used() {
    let scene = scene!();
    let trap = scene.path("trap");
    std::fs::create_dir(&trap).expect("a directory");
    scene.write("precious", "precious\n");
    for number in 0..50 {
        for name in [format!("psmith-{number}"), format!("psmith{number}"), format!(".tmp{number}")] {
            symlink(scene.path("precious"), trap.join(name)).expect("a link");
        }
    }
    let ended = scene
        .psmith(["-s", "\"$W\" flood 9000000 # {}", ":::", "a"])
        .env("W", wicked())
        .env("TMPDIR", &trap)
        .run();
    ended.assert_code(0).assert_quiet();
    assert_eq!(scene.text("precious"), "precious\n");
    assert_eq!(std::fs::read_dir(&trap).expect("a directory").count(), 150);
}

// proves: SEC-environment: the program is found once, before the first job, and by PATH as it was then
#[test]
fn a_program_is_resolved_once_to_an_absolute_path() {
    let scene = scene!();
    for dir in ["first", "second"] {
        std::fs::create_dir(scene.path(dir)).expect("a directory");
    }
    let program = scene.write("second/tool", "#!/bin/sh\necho second \"$0\"; cp second/evil first/tool\n");
    let evil = scene.write("second/evil", "#!/bin/sh\necho evil\n");
    for path in [&program, &evil] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let path = format!("{}:{}:/usr/bin:/bin", scene.path("first").display(), scene.path("second").display());
    let ended = scene.psmith(["-j1", "-k", "tool", ":::", "a", "b", "c"]).env("PATH", path).run();
    let line = format!("second {}\n", program.display());
    ended.assert_code(0).assert_out(line.repeat(3));
}

// proves: SEC-environment: a directory of the attacker's as working directory changes no program
#[test]
fn a_hostile_working_directory_is_not_searched() {
    let scene = scene!();
    for name in ["echo", "sh", "psmith-warden", "tool"] {
        let evil = scene.write(name, "#!/bin/sh\ntouch owned\n");
        std::fs::set_permissions(&evil, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    scene.psmith(["echo", ":::", "a"]).run().assert_code(0).assert_out("a\n");
    scene.psmith(["-s", "echo {}", ":::", "a"]).run().assert_code(0).assert_out("a\n");
    // The directory that a job changes to changes none either.
    let there = scene.cwd();
    scene.psmith(["--workdir"]).arg(&there).args(["echo", ":::", "a"]).run().assert_code(0).assert_out("a\n");
    assert!(!scene.path("owned").exists());
    scene.psmith(["tool", ":::", "a"]).run().assert_code(127);
    assert!(!scene.path("owned").exists());
}

// proves: SEC-environment: `.` in PATH is the directory at the start, not that of each job
#[test]
fn a_dot_in_path_means_where_psmith_was_started() {
    let scene = scene!();
    let elsewhere = scene.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    for (name, text) in [("tool", "echo ours"), ("elsewhere/tool", "echo theirs")] {
        let path = scene.write(name, format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let ended = scene
        .psmith(["--workdir"])
        .arg(&elsewhere)
        .args(["-N0", "tool", ":::", "a"])
        .env("PATH", ".:/usr/bin:/bin")
        .run();
    ended.assert_code(0).assert_out("ours\n");
}

// proves: SEC-environment: IFS does not split what psmith quotes, and a cleared environment has no LD_PRELOAD
#[test]
fn ifs_and_ld_preload_do_no_harm() {
    let scene = scene!();
    let ended = scene.psmith(["-s", "printf '[%s]' {} x{}", ":::", "a:b c"]).env("IFS", ":").run();
    ended.assert_code(0).assert_out("[a:b c][xa:b c]");
    let ended = scene
        .psmith(["--env-clear", "-N0", "/usr/bin/env", ":::", "x"])
        .env("LD_LIBRARY_PATH", "/nowhere")
        .run();
    ended.assert_code(0);
    assert!(!ended.out().contains("LD_"), "{}", ended.out());
}

// proves: SEC-warden
#[test]
fn a_marker_set_by_hand_runs_nothing() {
    for nonce in ["abc", "", "0", "ffffffffffffffff", "not a number", "\u{1f980}"] {
        let scene = scene!();
        let ended = scene.psmith(["-s", "touch owned", ":::", "a"]).env("PSMITH_WARDEN", nonce).run();
        ended.assert_code(125).assert_out("").assert_err_has("PSMITH_WARDEN");
        assert!(!scene.path("owned").exists(), "main ran with the marker {nonce:?}");
    }
    // A marker that is no text is none of psmith's either.
    let scene = scene!();
    let ended = scene.psmith(["true", ":::", "a"]).env("PSMITH_WARDEN", OsStr::from_bytes(b"\xff\xfe")).run();
    assert!(ended.code() == 125 || ended.code() == 0, "{}", ended.err());
}

/// Sends to a would-be warden over its stdin, as a process that is or is not its parent.
const IMPOSTOR: &str = r#"
import os, socket, subprocess, sys
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
env = dict(os.environ, PSMITH_WARDEN=sys.argv[2])
child = subprocess.Popen([sys.argv[1], "-s", "touch owned", ":::", "a"], stdin=theirs, env=env,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
theirs.close()
for packet in eval(sys.argv[3]):
    try:
        ours.send(packet)
    except OSError:
        break
if sys.argv[4] == "close":
    ours.close()
out, err = child.communicate(timeout=30)
sys.stdout.buffer.write(out)
sys.stderr.buffer.write(err)
sys.exit(child.returncode if child.returncode >= 0 else 100 - child.returncode)
"#;

// proves: SEC-warden: garbage, wrong nonces and replays end the would-be warden, with nothing started
#[test]
fn a_host_that_does_not_know_the_nonce_gets_no_warden() {
    psmith_testkit::need!("SEC-warden", psmith_testkit::need::Need::Program("python3"));
    for packets in [
        "[]",
        "[b'']",
        "[b'\\0']",
        "[b'\\1']",
        "[b'\\0' * 1000]",
        "[os.urandom(n) for n in range(1, 200)]",
        // A hello of the right form with another nonce, twice.
        "[b'\\0\\0' + b'\\xb1\\xda\\xcd\\x83\\x07' + b'\\1' + b'\\5' + b'\\1x' + b'\\2' + b'\\0' + b'\\0'] * 2",
    ] {
        let scene = scene!();
        let ended = scene
            .program("python3")
            .args(["-c", IMPOSTOR])
            .arg(scene.psmith_path())
            .args(["1", packets, "close"])
            .run();
        ended.assert_code(125).assert_out("").assert_err_has("psmith: error: ");
        assert!(!scene.path("owned").exists(), "{packets}");
    }
}

// proves: SEC-warden: a job never sees the marker, so no job becomes a warden by accident
#[test]
fn no_job_inherits_the_marker() {
    let scene = scene!();
    let ended = scene.psmith(["-N0", "env", ":::", "a"]).run();
    ended.assert_code(0);
    assert!(!ended.out().contains("PSMITH_WARDEN"), "{}", ended.out());
    // psmith below psmith is a host of its own.
    let nested = scene.shell("\"$PSMITH\" -s '\"$PSMITH\" -k echo ::: inner {}' ::: a").run();
    nested.assert_code(0).assert_out("inner\na\n");
}
