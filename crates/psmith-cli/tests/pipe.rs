//! `--pipe`: one input cut into blocks of whole records, each on the stdin of a job; the blocks are GNU parallel's.

use psmith_testkit::need::Need;
use psmith_testkit::{Scene, need, scene};

fn numbers(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

/// Asserts that psmith prints the same as GNU parallel for the same options, a script, and this input.
fn same_as_gnu(scene: &Scene, options: &[&str], script: &str, stdin: &str) {
    let ours = scene.psmith(options.iter().chain(&["-s", script])).stdin(stdin).run();
    ours.assert_code(0).assert_quiet();
    let theirs = scene.program("parallel").args(["--will-cite"]).args(options).arg(script).stdin(stdin).run();
    assert_eq!(ours.out(), theirs.out(), "{options:?}");
}

#[test]
fn blocks_are_those_of_gnu_parallel() {
    need!("CLI --pipe", Need::Program("parallel"));
    let scene = scene!();
    let (text, join) = (numbers(100), "cksum");
    for options in [
        &["-k", "--pipe"][..],
        &["-k", "--pipe", "--block", "0.1k"],
        &["-k", "--pipe", "--block", "81"],
        &["-k", "--pipe", "-N", "30"],
        &["-k", "--pipe", "-L", "7", "--block", "0.1K"],
        &["-k", "--pipe", "-L", "2", "-N", "20"],
        &["-k", "--pipe", "--recend", "", "--block", "100"],
        &["-k", "--pipe", "--recend", "9\\n", "--block", "70"],
        &["-k", "--pipe", "--recstart", "1", "--recend", "\\n", "--block", "100"],
        &["-k", "--pipe", "--recend", "0\\n", "--rrs", "-N1"],
        &["-k", "--pipe", "--header", ":", "--block", "70"],
    ] {
        same_as_gnu(&scene, options, join, &text);
    }
    same_as_gnu(&scene, &["-k", "--pipe", "-N1", "--recstart", ">"], join, ">a\nx\ny\n>b\n>c\nz");
}

#[test]
fn parts_of_a_file_are_those_of_gnu_parallel() {
    need!("CLI --pipe", Need::Program("parallel"));
    let scene = scene!();
    scene.write("file", numbers(5000));
    for options in [
        &["-k", "--pipe-part", "-a", "file", "--block", "3k"][..],
        &["-k", "--pipe-part", "-a", "file", "--block", "-2", "-j3"],
        &["-k", "--pipe-part", "-a", "file", "--recstart", "9", "--block", "5k"],
        &["-k", "--pipe-part", "-a", "file", "--header", ":", "--block", "5k"],
        &["-k", "--pipe-part", "-a", "file", "--recend", "", "--block", "9999"],
    ] {
        same_as_gnu(&scene, options, "cksum", "");
    }
}

#[test]
fn nothing_is_lost_whatever_the_size_of_records_and_blocks() {
    let scene = scene!();
    // The last record has no end, and one is longer than the block.
    let text = format!("{}{}\nx\n\n{}", numbers(20_000), "long".repeat(100_000), "end".repeat(2000));
    scene.write("file", &text);
    for options in [
        &["--pipe"][..],
        &["--pipe", "--block", "10K"],
        &["--pipe", "--block", "1G"],
        &["--pipe", "--retries", "2", "--block", "50K"],
        &["--pipe", "-u", "-j1", "--block", "50K"],
        &["--pipe", "-L", "1000"],
        &["--pipe", "-N", "5000"],
        &["--pipe-part", "-a", "file", "--block", "30K"],
        &["--pipe", "-a", "file", "--block", "30K"],
    ] {
        let ended = scene.psmith(["-k"].iter().chain(options).chain(&["cat"])).stdin(text.as_str()).run();
        ended.assert_code(0).assert_quiet();
        assert!(ended.out() == text, "{options:?}: {} of {} bytes", ended.out().len(), text.len());
    }
    scene.psmith(["--pipe", "cat"]).run().assert_code(0).assert_quiet().assert_out("");
    scene
        .psmith(["--pipe-part", "-a", "/dev/null", "cat"])
        .run()
        .assert_code(125)
        .assert_err_has("no regular file");
}

#[test]
fn a_block_is_there_again_for_a_second_try() {
    let scene = scene!();
    scene.write("file", numbers(1000));
    // Each job reads a part of its block, and fails the first time.
    let script = "head -c 10 > /dev/null; [ $PSMITH_ATTEMPT = 2 ] && cksum";
    let second = "head -c 10 > /dev/null; cksum";
    for source in [&["--pipe"][..], &["--pipe-part", "-a", "file"]] {
        let run = |tries: &str, script: &str| {
            let options = ["-k", "--block", "1k", "--retries", tries];
            let args = options.iter().chain(source).copied().chain(["-s", script]);
            scene.psmith(args).stdin(numbers(1000)).run().assert_code(0).out()
        };
        assert_eq!(run("2", script), run("1", second), "{source:?}");
    }
}

#[test]
fn a_job_that_reads_no_more_costs_its_neighbours_nothing() {
    let scene = scene!();
    let text = "0123456789abcdef\n".repeat(100_000);
    scene.write("file", &text);
    for source in [&["--pipe"][..], &["--pipe-part", "-a", "file"]] {
        let script = "if [ $PSMITH_JOB = 2 ]; then exit 0; fi; wc -l";
        let options = ["-k", "--block", "340k"].iter().chain(source).copied();
        let ended = scene.psmith(options.chain(["-s", script])).stdin(text.as_str()).run();
        ended.assert_code(0).assert_quiet();
        assert!(ended.out().starts_with("2000"), "{source:?}: {}", ended.out());
        assert!(ended.out().lines().count() >= 3, "{source:?}: {}", ended.out());
    }
    let script = "if [ $PSMITH_JOB = 2 ]; then exec <&-; exit 0; fi; wc -l";
    let args = ["-j3", "--round-robin", "--block", "17k", "-s", script];
    let ended = scene.psmith(args).stdin(text.as_str()).run();
    ended.assert_code(0).assert_quiet();
    let lines: usize = ended.out().lines().map(|line| line.parse::<usize>().expect("a count")).sum();
    // The second job had one block, and at most what its pipe held.
    assert!((35_000..100_000).contains(&lines), "{lines}");
}

#[test]
fn round_robin_has_as_many_jobs_as_slots() {
    let scene = scene!();
    let text = numbers(100_000);
    let args = ["-j3", "--round-robin", "--block", "10k", "-s", "cat; echo job {#} >&2"];
    let ended = scene.psmith(args).stdin(text.as_str()).run();
    ended.assert_code(0);
    assert_eq!(ended.err().matches("job ").count(), 3, "{}", ended.err());
    let sorted = |text: &str| {
        let mut lines: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
        lines.sort_unstable();
        lines
    };
    assert!(sorted(&ended.out()) == sorted(&text));
    // Fewer blocks than slots are fewer jobs, and with -k a block's place is certain.
    let args = ["-j3", "-k", "--round-robin", "-N1", "-s", "tr '\\n' ' '; echo"];
    scene.psmith(args).stdin("1\n2\n").run().assert_out("1 \n2 \n");
    scene.psmith(args).stdin(numbers(7)).run().assert_out("1 4 7 \n2 5 \n3 6 \n");
}

#[test]
fn a_block_can_be_a_file() {
    let scene = scene!();
    scene.write("file", "a\nb\nc\n");
    let args = ["-k", "-N2", "--cat", "-s", "cat {}; wc -l < {}; cat; [ -f {} ]"];
    scene.psmith(args).stdin("a\nb\nc\n").run().assert_code(0).assert_quiet().assert_out("a\nb\n2\nc\n1\n");
    let args = ["-k", "--pipe-part", "--cat", "-a", "file", "--block", "3", "wc", "-c"];
    let ended = scene.psmith(args).run();
    assert!(ended.out().starts_with("4 /proc/") && ended.out().lines().count() == 2, "{}", ended.out());
}

#[test]
fn inputs_on_stdin_are_no_arguments() {
    let scene = scene!();
    let args = ["-k", "--stdin", "item", "wc", "-c", ":::", "abc", "", "d e"];
    scene.psmith(args).run().assert_code(0).assert_quiet().assert_out("3\n0\n3\n");
    let args = ["-k", "--stdin", "item", "-s", "echo {}: $(cat)", ":::", "a", "b"];
    scene.psmith(args).run().assert_out("a: a\nb: b\n");
    scene.psmith(["--stdin", "item", "-n2", "cat"]).stdin("1\n2\n3\n").run().assert_code(0);
}

// Memory is a block for each slot, however long the input and however slow the jobs.
#[test]
fn few_blocks_are_read_ahead() {
    let scene = scene!();
    scene.write("file", "0123456789abcde\n".repeat(64 * 1024));
    // The offset of the input, which psmith shares, tells how far it has read when the first job ends.
    let script =
        "exec 3< file; psmith --pipe --block 16K -j1 -k sed -n 's/^pos:[^0-9]*//p' /proc/$$/fdinfo/3 <&3";
    let script = script.replace("psmith", &format!("'{}'", env!("CARGO_BIN_EXE_psmith")));
    let ended = scene.program("sh").args(["-c", &script]).run();
    ended.assert_code(0);
    let first: u64 = ended.out().lines().next().expect("a line").parse().expect("an offset");
    assert!((16 << 10..6 * (16 << 10)).contains(&first), "{first}");
    assert_eq!(ended.out().lines().count(), 64);
}

#[test]
fn what_means_nothing_with_blocks_is_refused() {
    let scene = scene!();
    scene.write("file", "a\n");
    for (args, error, hint) in [
        (&["--pipe", "cat", ":::", "a"][..], "not from :::", "psmith --pipe COMMAND < FILE"),
        (&["--pipe", "echo", "{}"], "{} has no value with --pipe", "--cat makes the block a file"),
        (&["--pipe", "-s", "echo {1}"], "{1} has no value with --pipe", "--cat"),
        (&["--pipe", "-0", "cat"], "-0 has no meaning with --pipe", "--recend '\\0'"),
        (&["--pipe", "-n2", "cat"], "-n has no meaning with --pipe", "-N records"),
        (&["--pipe", "--csv", "cat"], "--csv has no meaning", ""),
        (&["--pipe", "--shuf", "cat"], "--shuf has no meaning", "shuf |"),
        (&["--pipe", "--tty", "cat"], "but one stdin", ""),
        (&["--pipe", "--stdin", "item", "cat"], "but one stdin", ""),
        (&["--pipe", "-s"], "needs a command", "psmith --pipe sh"),
        (&["--pipe", "echo", "{##}"], "{##}", "{#}"),
        (&["--pipe-part", "cat"], "--pipe-part needs a file", "-a FILE"),
        (&["--pipe-part", "-a", "file", "-N2", "cat"], "reads by offsets", "--pipe -a FILE"),
        (&["--pipe", "-a", "file", "-a", "file", "cat"], "--pipe takes one source", "cat FILE.."),
        (&["--pipe", "--block", "-1", "cat"], "needs --pipe-part", "--block 1M"),
        (&["--pipe", "--block", "0", "cat"], "at least one byte", ""),
        (&["--round-robin", "--retries", "2", "cat"], "cannot be read again", ""),
        (&["--block", "1M", "cat", ":::", "a"], "about blocks", "--pipe --block"),
        (&["-L", "2", "cat", ":::", "a"], "-L without --pipe", "-n N"),
        (&["--fifo", "cat"], "--fifo is left out", "--cat"),
    ] {
        let ended = scene.psmith(args).stdin("a\n").run();
        ended.assert_code(125).assert_out("").assert_err_has(error);
        assert!(ended.err().contains(hint), "{args:?}: {}", ended.err());
    }
}
