//! Tests of the number of workers, as it is found and asked for, and of the documentation of faces and their settings.

use super::*;

// proves: worker-count
#[test]
fn the_number_of_workers_is_detected_or_asked_for_and_nonsense_is_an_error() {
    assert!((1..=999).contains(&default_workers(None).unwrap()));
    assert_eq!(default_workers(Some("10".into())), Ok(10));
    for nonsense in ["", "0", "-1", "many", "1.5"] {
        let error = default_workers(Some(nonsense.into())).unwrap_err();
        assert!(error.contains(WORKERS_VARIABLE), "{error}");
    }
    let given = Options::new().workers(5);
    assert_eq!(given.workers_in_force(), Ok(5));
}

/// Returns the sentences in which the documentation states a face's defaults, and the settings that it does not serve.
fn in_words(face: Face, workers: &str) -> String {
    let isolation = match face.isolation {
        Isolation::Reuse => "workers that stay",
        Isolation::PerJob => "a process for each job",
    };
    let then = match face.on_error {
        OnError::Continue => "the others go on after a failure",
        OnError::Stop => "no more are started after a failure",
        OnError::Kill => "the others are killed after a failure",
    };
    let unserved = face.unserved.iter().map(|setting| format!("`{setting}`")).collect::<Vec<_>>().join(", ");
    let options = "[`Options`]";
    let serves = match face.unserved {
        [] => format!("It serves all of {options}."),
        _ => format!("Of {options} it does not serve {unserved}."),
    };
    let output = if face.output == Output::Lines { "output passed on line by line, " } else { "" };
    format!("Defaults: {workers}, {isolation}, {output}and {then}. {serves}")
}

/// Returns the documentation in a source, without its line ends.
fn prose(source: &str) -> String {
    source.lines().filter_map(|line| line.trim_start().strip_prefix("///")).collect()
}

#[test]
fn each_face_documents_its_defaults_and_what_it_does_not_serve() {
    let processors = "as many workers as processors";
    let (four, said) = ("4 workers", "`n` workers");
    assert_eq!(face::SERVER.workers, Some(4));
    let faces = [
        (face::MAP, processors, include_str!("../map/map.rs")),
        (face::RUN_JOBS, processors, include_str!("../map/run_jobs.rs")),
        (face::REDUCE, processors, include_str!("../map/each.rs")),
        (face::POOL, processors, include_str!("../pool/pool.rs")),
        (face::SERVER, four, include_str!("../map/server.rs")),
        (face::SCHEDULER, "as many workers as the strategy lets", include_str!("../pool/scheduler.rs")),
        (
            face::PROCESS_MANAGER,
            "as many workers as there are jobs",
            include_str!("../pool/process_manager.rs"),
        ),
        (face::run_workers(7), said, include_str!("../streams/workers.rs")),
        (face::supervisor(7), said, include_str!("../pool/supervisor.rs")),
    ];
    for (face, workers, source) in faces {
        // A setting that it does not serve, and that `Options::check` does not know, would refuse every run.
        assert!(Options::of(face).check().is_ok(), "{} refuses its own defaults", face.name);
        let words = in_words(face, workers);
        assert!(prose(source).contains(&words), "the documentation of {} does not say: {words}", face.name);
        // Its row of the table.
        let unserved = match face.unserved {
            [] => "nothing".to_owned(),
            some => some.iter().map(|setting| format!("`{setting}`")).collect::<Vec<_>>().join(", "),
        };
        let row = format!(" | `{:?}` | `{:?}` | {unserved} |", face.isolation, face.on_error);
        let table = include_str!("options.rs").lines().filter(|line| line.starts_with("/// | `"));
        let is_listed =
            |line: &str| face.name.split([',', ' ']).all(|name| line.contains(name)) && line.ends_with(&row);
        assert!(
            table.into_iter().any(is_listed),
            "the table of settings does not say of {}:{row}",
            face.name
        );
    }
}

#[test]
fn a_setting_that_a_face_does_not_serve_is_refused_by_name() {
    let refusal = |options: Options| options.check().map_err(|error| error.to_string());
    let all = |face| {
        let options = Options::of(face).workers(2).window(2).isolation(Isolation::Reuse);
        let options = options.total_timeout(Duration::from_secs(1)).retry(Retry::tries(2));
        options.on_error(OnError::Kill).breaker(3).logger(|_, _| ())
    };
    assert_eq!(refusal(all(face::POOL)), Ok(()));
    for face in [face::MAP, face::SCHEDULER, face::supervisor(1), face::run_workers(1)] {
        let first = face.unserved[0];
        let error = refusal(all(face)).unwrap_err();
        assert!(error.contains(&format!("{} does not serve `{first}`", face.name)), "{error}");
        // Each by itself, and nothing else.
        assert_eq!(refusal(Options::of(face).timeout(Duration::ZERO).isolation(face.isolation)), Ok(()));
        for setting in face.unserved {
            let alone = match *setting {
                "workers" => Options::of(face).workers(2),
                "window" => Options::of(face).window(2),
                "isolation" => Options::of(face).isolation(Isolation::Reuse),
                "total_timeout" => Options::of(face).total_timeout(Duration::ZERO),
                "retry" => Options::of(face).retry(Retry::tries(1)),
                "on_error" => Options::of(face).on_error(OnError::Continue),
                "breaker" => Options::of(face).breaker(1),
                "logger" => Options::of(face).logger(|_, _| ()),
                other => panic!("this test does not know the setting {other}"),
            };
            assert!(refusal(alone).unwrap_err().contains(setting));
        }
    }
}

#[test]
fn settings_taken_whole_replace_those_given_before_but_not_the_face() {
    let mut options = Options::of(face::SERVER).timeout(Duration::ZERO);
    options.order = Order::Submission;
    options.replace(Options::new().grace(Duration::ZERO));
    assert_eq!((options.timeout, options.grace), (None, Duration::ZERO));
    assert_eq!((options.face.name, options.order), ("Server", Order::Submission));
    assert_eq!(options.workers_in_force(), Ok(4));
}
