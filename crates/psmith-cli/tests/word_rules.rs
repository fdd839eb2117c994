//! Lines that mean something else to GNU parallel or a shell never run as something else without a word: each is
//! refused before the first job, with the form to type.

use psmith_testkit::{Scene, scene};

/// Asserts exit 125, nothing on stdout, and a hint with this text.
fn refused(scene: &Scene, args: &[&str], error: &str, hint: &str) {
    let ended = scene.psmith(args).run();
    ended.assert_code(125).assert_out("").assert_err_has(error);
    assert!(ended.err().lines().count() <= 3, "{}", ended.err());
    assert!(ended.err().lines().skip(1).any(|line| line.contains(hint)), "no {hint:?}: {}", ended.err());
}

// `rm` once got '&&', touch and the files, and removed them all.
#[test]
fn words_for_a_shell_are_refused_with_the_script() {
    let scene = scene!();
    scene.write("f", "kept");
    refused(
        &scene,
        &["-m", "rm", "{}", "&&", "touch", "{}", ":::", "f"],
        "'&&' is for a shell, and none reads these words",
        "psmith -s 'rm {} && touch {}'",
    );
    assert_eq!(scene.text("f"), "kept");
    for (words, script) in [
        (&["echo", "{}", ">", "out.{}"][..], "psmith -s 'echo {} > out.{}'"),
        (&["zcat", "{}", ">{.}"], "psmith -s 'zcat {} >{.}'"),
        (&["echo", "{};", "exit", "{}"], "psmith -s 'echo {}; exit {}'"),
        (&["[", "-f", "{}", "]", "||", "echo", "{}"], "psmith -s '[ -f {} ] || echo {}'"),
        (&["echo", "\"$HOME\""], "psmith -s 'echo \"$HOME\"'"),
        (&["echo", "$HOME"], "psmith -s 'echo $HOME'"),
        (&["echo", "{}", "2>/dev/null"], "psmith -s 'echo {} 2>/dev/null'"),
        (&["diff", "<(sort {})", "x"], "psmith -s --shell bash 'diff <(sort {}) x'"),
        (&["a={}; b=1;", "echo $b"], "psmith -s 'a={}; b=1; echo $b'"),
    ] {
        let words: Vec<&str> = words.iter().copied().chain([":::", "a"]).collect();
        let what = if words[0].contains(' ') { "no such program" } else { "is for a shell" };
        refused(&scene, &words, what, script);
    }
    refused(
        &scene,
        &["cat", "<(true)", ":::", "a"],
        "is for a shell",
        "psmith -s --shell bash 'cat <(true)'",
    );
}

#[test]
fn after_two_dashes_words_are_passed_on() {
    let scene = scene!();
    scene.psmith(["--", "echo", "{}", "&&", ">x", "\"q\"", ":::", "a"]).run().assert_out("a && >x \"q\"\n");
    scene.psmith(["-k", "--", "echo", ";", ":::", "a"]).run().assert_out("; a\n");
    // What is text for a program is no shell's.
    let words = ["echo", "select 1;", "a&b=1", "<b>", "$1", "don't", ":::", "a"];
    scene.psmith(words).run().assert_code(0).assert_quiet().assert_out("select 1; a&b=1 <b> $1 don't a\n");
}

#[test]
fn replacement_strings_of_gnu_parallel_are_refused_with_the_nearest_form() {
    let scene = scene!();
    for (word, hint) in [
        ("{/foo/bar}", "${x/foo/bar}"),
        ("{-1}", "{2}"),
        ("{:2}", "${x:2}"),
        ("{^a}", "${x^a}"),
        ("{...}", "${x%.*.*.*}"),
        ("{uniq}", "awk '$1 != $2'"),
        ("{2choose_k}", "awk '$1 < $2'"),
        ("{= s/a/b/ =}", "filter the input"),
        ("{= $SIG{INT}=sub {} =}", "filter the input"),
        ("{%.*}", "${x%.*}"),
    ] {
        refused(&scene, &["echo", word, ":::", "a", ":::", "b"], "", hint);
    }
    refused(&scene, &["mv", "{}", "{= $a=1;", "$_=2 =}", ":::", "a"], "{= perl =}", "filter the input");
    refused(&scene, &["--plus", "echo", "{host}", ":::", "a"], "{host} is a replacement string of GNU", "");
    // In double braces they are text, and what neither knows always was.
    let words = ["echo", "{{:2}}", "{{= x =}}", "{host}", "a{,3}", "{print}", ":::", "x"];
    scene.psmith(words).run().assert_out("{:2} {= x =} {host} a{,3} {print}\n");
    scene.psmith(["-s", "--shell", "bash", "echo {}{,.bak}", ":::", "x"]).run().assert_out("x x.bak\n");
}

// `bash -c 'echo ${#f}' ::: abcdef` printed an empty line: {#f} was psmith's, and the input was lost.
#[test]
fn braces_of_another_language_are_not_replaced_in_silence() {
    let scene = scene!();
    for (words, hint) in [
        (&["bash", "-c", "echo ${#f}"][..], "write ${{#f}}"),
        (&["bash", "-c", "echo ${1}"], "write ${{1}}"),
        (&["echo", "${#}"], "write ${{#}}"),
        (&["perl", "-e", "print keys @{%h}"], "write {{%h}}"),
        (&["env", "bash", "-c", "x() {:-a}"], "write {{:-a}}"),
    ] {
        let words: Vec<&str> = words.iter().copied().chain([":::", "abcdef"]).collect();
        refused(&scene, &words, "?", hint);
    }
    let words = ["bash", "-c", "f=$1; echo ${{#f}} {} ${f} {#}", "_", "{}", ":::", "abcdef"];
    scene.psmith(words).run().assert_out("6 abcdef abcdef 1\n");
    scene
        .psmith(["echo", "${}", "{%c}", "gzip", "-c", "{%c}", ":::", "abc"])
        .run()
        .assert_out("$abc ab gzip -c ab\n");
}

// Twenty words were psmith's own: `| psmith rm` answered "not in this version".
#[test]
fn every_word_but_five_is_the_program_of_that_name() {
    let scene = scene!();
    let bin = scene.path("bin");
    std::fs::create_dir(&bin).expect("a directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    for name in [
        "man",
        "completions",
        "rm",
        "tail",
        "log",
        "wait",
        "why",
        "show",
        "go",
        "width",
        "add",
        "status",
        "retry",
        "cancel",
        "pause",
        "drain",
        "gc",
        "runs",
        "replay",
        "export",
        "sem",
    ] {
        let file = bin.join(name);
        std::fs::write(&file, format!("#!/bin/sh\necho {name}: \"$@\"\n")).expect("a file");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        let ended = scene.psmith([name, ":::", "x"]).env("PATH", &path).run();
        ended.assert_code(0).assert_out(format!("{name}: x\n"));
    }
    for name in ["queue", "work", "doctor", "help"] {
        refused(
            &scene,
            &[name, ":::", "x"],
            &format!("{name} is a psmith command and takes no :::"),
            &format!("psmith run {name} ::: x"),
        );
    }
    scene.psmith(["help"]).run().assert_code(0).assert_quiet();
}

// More than the kernel takes was one job that could not start.
#[test]
fn a_batch_is_at_most_what_the_kernel_takes() {
    let scene = scene!();
    let input: String = (0..300).map(|number| format!("{number:0>9000}\n")).collect();
    for flag in ["-n", "-N"] {
        let ended =
            scene.psmith(["-k", flag, "300", "-j1", "printf", "%.0s.\n", "{}"]).stdin(input.as_str()).run();
        ended.assert_code(0).assert_quiet();
        assert_eq!(ended.out().lines().count(), 300, "{flag}: each input in one job");
        let ended = scene.psmith([flag, "300", "--dry-run", "true", "{}"]).stdin(input.as_str()).run();
        assert!((2..10).contains(&ended.out().lines().count()), "{flag}: as few jobs as possible");
    }
    scene.psmith(["-k", "-n2", "echo", "{#}/{##}", ":::", "a", "b", "c"]).run().assert_out("1/2\n2/2\n");
    scene.psmith(["-n0", "echo", "x", ":::", "a", "b"]).run().assert_out("x\nx\n");
}

#[test]
fn a_function_of_bash_is_named_as_such() {
    let scene = scene!();
    let ended = scene.psmith(["doit", "x", ":::", "a"]).env("BASH_FUNC_doit%%", "() { echo \"$@\"; }").run();
    ended.assert_code(127).assert_err_has("psmith -s --shell bash 'doit x {}'");
    let args = ["-s", "--shell", "bash", "doit x {}", ":::", "a"];
    scene.psmith(args).env("BASH_FUNC_doit%%", "() { echo \"$@\"; }").run().assert_out("x a\n");
}

// The rest of the file became one record, and nobody was told.
#[test]
fn a_quote_of_csv_that_is_not_closed_is_an_error_with_its_line() {
    let scene = scene!();
    scene.write("bad", "a,b\nc,\"d\ne,f\n");
    let ended = scene.psmith(["--csv", "-k", "echo", "{1}-{2}", "::::", "bad"]).run();
    ended.assert_code(125).assert_out("a-b\n").assert_err_has("bad: the quote in line 2 is not closed");
    scene.write("good", "\u{feff}x,y\r\n\"a\nb\",\"say \"\"hi\"\"\"\r\n");
    let args = ["--csv", "--header", ":", "-k", "echo", "{x}-{y}", "::::", "good"];
    scene.psmith(args).run().assert_code(0).assert_out("a\nb-say \"hi\"\n");
}
