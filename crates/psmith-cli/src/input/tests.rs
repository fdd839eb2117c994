//! Tests of inputs: read, split, crossed and batched. No process is started here.

use std::io::Write;
use std::sync::mpsc;

use crate::config::Config;
use crate::invocation::{Invocation, parse};
use crate::plan::JobStream;
use crate::plan::RunPlan;

fn config(args: &[&str]) -> Config {
    match parse(args.iter().map(Into::into)) {
        Ok(Invocation::Run(config)) => *config,
        other => panic!("{other:?}"),
    }
}

/// Returns the inputs of each job, joined by `|`.
fn jobs(args: &[&str]) -> Vec<String> {
    let (_, jobs) = RunPlan::new(&config(args)).unwrap();
    jobs.map(|job| String::from_utf8_lossy(&job.unwrap().inputs().join(&b'|')).into_owned()).collect()
}

fn file(text: &[u8]) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    let name = file.path().to_str().unwrap().to_owned();
    (file, name)
}

#[test]
fn records_end_where_they_should() {
    for (flags, text, expected) in [
        (&[][..], &b"a\n\nb"[..], &["a", "", "b"][..]),
        (&[], b"a\r\n", &["a\r"]),
        (&[], b"", &[]),
        (&[], b"\n", &[""]),
        (&["-r"], b"a\n\nb\n", &["a", "b"]),
        (&["-0"], b"a\nb\0c\0", &["a\nb", "c"]),
        (&["-d", ","], b"a,b,", &["a", "b"]),
        (&["-d", ","], b"a,b\n", &["a", "b\n"]),
        (&["-d", "XX"], b"aXXbX", &["a", "bX"]),
        (&["-d", r"\t"], b"a\tb", &["a", "b"]),
        (&["-C", ","], b"a,b,,\nc\n", &["a|b||", "c"]),
        (&["-C", "[,;]+"], b"a,;b\n", &["a|b"]),
        (&["--csv"], b"a,\"b,\nc\"\"\"\n1,2\n", &["a|b,\nc\"", "1|2"]),
        (&["--csv", "-C", ";"], b"a;b\r\n", &["a|b"]),
        (&["-n2"], b"1\n2\n3\n", &["1|2", "3"]),
        (&["-N0"], b"1\n2\n", &["", ""]),
        (&["-C", ",", "--header", ":"], b"n,m,o\n1,2\n", &["1|2|"]),
        (&["-n2", "-n1"], b"1\n2\n", &["1", "2"]),
    ] {
        let (_file, name) = file(text);
        let args = [flags, &["-a", &name, "true"]].concat();
        assert_eq!(jobs(&args), expected, "{flags:?} {text:?}");
    }
}

#[test]
fn a_separator_across_two_reads_is_found() {
    let mut text = vec![b'x'; (64 << 10) - 1];
    text.extend_from_slice(b"XYabXY");
    let (_file, name) = file(&text);
    let jobs = jobs(&["-d", "XY", "-a", &name, "true"]);
    assert_eq!((jobs.len(), jobs[0].len(), &jobs[1][..]), (2, (64 << 10) - 1, "ab"));
}

#[test]
fn sources_multiply_and_link() {
    let (_file, name) = file(b"1\n2\n");
    for (args, expected) in [
        (&["true", ":::", "a", "b", ":::", "1", "2"][..], &["a|1", "a|2", "b|1", "b|2"][..]),
        (&["true", ":::", "a", "b", ":::+", "1", "2"], &["a|1", "b|2"]),
        (
            &["true", ":::", "a", "b", ":::", "1", "2", ":::+", "x", "y"],
            &["a|1|x", "a|2|y", "b|1|x", "b|2|y"],
        ),
        (
            &["true", ":::", "a", "b", ":::+", "1", "2", ":::", "x", "y"],
            &["a|1|x", "a|1|y", "b|2|x", "b|2|y"],
        ),
        (&["true", ":::", "a", ":::"], &[]),
        (&["true", ":::"], &[]),
        (&["-a", &name, "true", ":::", "x"], &["1|x", "2|x"]),
        (&["true", "::::", &name, &name], &["1|1", "1|2", "2|1", "2|2"]),
        (&["true", ":::", "a", "b", "::::+", &name], &["a|1", "b|2"]),
        (&["-n2", "true", ":::", "a", "b", ":::", "1"], &["a|1|b|1"]),
    ] {
        assert_eq!(jobs(args), expected, "{args:?}");
    }
}

#[test]
fn values_without_a_partner_are_counted() {
    let (_, mut jobs) = RunPlan::new(&config(&["true", ":::", "a", "b", "c", ":::+", "1"])).unwrap();
    assert_eq!(jobs.by_ref().count(), 1);
    assert_eq!(jobs.warnings(), ["2 values left over, their linked source (:::+) is shorter"]);
}

#[test]
fn lines_of_a_file_without_a_partner_are_counted_too() {
    let (_two, two) = file(b"1\n2\n");
    let (_five, five) = file(b"a\nb\nc\nd\ne");
    for args in [
        &["true", "::::", &two, "::::+", &five][..],
        &["true", "::::", &five, "::::+", &two],
        &["--csv", "true", "::::", &two, "::::+", &five],
        &["true", ":::", "x", "y", "::::+", &five],
    ] {
        let (_, mut jobs) = RunPlan::new(&config(args)).unwrap();
        assert_eq!(jobs.by_ref().count(), 2, "{args:?}");
        assert_eq!(
            jobs.warnings(),
            ["3 values left over, their linked source (:::+) is shorter"],
            "{args:?}"
        );
    }
}

#[test]
fn totals_are_known_where_that_is_cheap() {
    let (_file, name) = file(b"1\n2\n3\n");
    for (args, total) in [
        (&["true", ":::", "a", "b", ":::", "1", "2", "3"][..], Some(6)),
        (&["-n4", "true", ":::", "a", "b", ":::", "1", "2", "3"], Some(2)),
        (&["--header", ":", "true", ":::", "n", "a"], Some(1)),
        (&["-a", &name, "true"], None),
        (&["-a", &name, "true", "{##}"], Some(3)),
        (&["-X", "-j2", "true", "{##}", "{}", ":::", "a", "b", "c"], Some(2)),
    ] {
        assert_eq!(RunPlan::new(&config(args)).unwrap().0.total(), total, "{args:?}");
    }
}

#[test]
fn a_seed_fixes_the_order() {
    let order = |seed: &str| {
        jobs(&[&format!("--shuf={seed}"), "true", ":::", "1", "2", "3", "4", "5", "6", "7", "8"])
    };
    assert_eq!(order("7"), order("7"));
    assert_ne!(order("7"), order("8"));
    let mut sorted = order("7");
    sorted.sort();
    assert_eq!(sorted, ["1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[test]
fn batches_fill_what_the_kernel_takes() {
    let (_file, name) = file("x".repeat(99).as_bytes());
    drop(_file);
    let text = format!("{}\n", "x".repeat(99)).repeat(40_000);
    let (_file, name2) = file(text.as_bytes());
    assert_ne!(name, name2);
    let config = config(&["-X", "-j1", "-a", &name2, "/bin/true"]);
    let (plan, jobs) = RunPlan::new(&config).unwrap();
    let mut inputs = 0;
    let batches: Vec<usize> = jobs
        .map(|job| {
            let job = job.unwrap();
            inputs += job.len();
            let rendered =
                plan.render(&job, crate::plan::JobNumbers { job: 1, slot: 1, total: None }).unwrap();
            rendered.argv.iter().map(|word| word.len() + 9).sum()
        })
        .collect();
    assert_eq!(inputs, 40_000);
    assert!(batches.len() > 1);
    // A real start of the fullest batch decides.
    let (_, mut jobs) = RunPlan::new(&config).unwrap();
    let first = jobs.next().unwrap().unwrap();
    let rendered = plan.render(&first, crate::plan::JobNumbers { job: 1, slot: 1, total: None }).unwrap();
    use std::os::unix::ffi::OsStrExt;
    let words = rendered.argv[1..].iter().map(|word| std::ffi::OsStr::from_bytes(word));
    assert!(std::process::Command::new(&rendered.program).args(words).status().unwrap().success());
    // And it was filled: the next input would not have fitted by far more than the headroom.
    assert!(batches[0] > 100 << 10, "{}", batches[0]);
}

#[test]
fn a_job_comes_as_soon_as_its_line_does() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    use std::os::fd::AsRawFd;
    let name = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let (_, jobs) = RunPlan::new(&config(&["-a", &name, "true"])).unwrap();
    let (send, receive) = mpsc::channel();
    let producer = std::thread::spawn(move || {
        for job in jobs {
            send.send(job.unwrap().inputs()[0].to_vec()).unwrap();
        }
    });
    // Each line is written only after the job of the line before has been received.
    for line in ["one", "two", "three"] {
        writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        assert_eq!(receive.recv().unwrap(), line.as_bytes());
    }
    drop(writer);
    assert!(receive.recv().is_err());
    producer.join().unwrap();
}

#[test]
fn jobs_can_be_made_on_another_thread() {
    fn is_send<T: Send + 'static>() {}
    is_send::<JobStream>();
    is_send::<RunPlan>();
}
