//! The help of every command, as kept in `golden/help/`. `UPDATE_GOLDEN=1` writes it anew.

use std::{collections::BTreeMap, path::Path, process::Command};

use crate::server::Place;

/// The help of a command and of those below it, by file name.
fn collect(place: &Place, path: &[&str], all: &mut BTreeMap<String, String>) {
    let mut words = path.to_vec();
    words.push("--help");
    let done = place.run(&words);
    assert!(done.status.success(), "{words:?}: {done:?}");
    let help = String::from_utf8(done.stdout).unwrap();
    let below: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    let name = if path.is_empty() { "backup-orchestrator".to_owned() } else { path.join("-") };
    all.insert(format!("{name}.txt"), help);
    for command in below {
        let mut path = path.to_vec();
        path.push(&command);
        collect(place, &path, all);
    }
}

#[test]
fn the_help_is_as_kept() {
    let mut all = BTreeMap::new();
    collect(&Place::new(&[]), &[], &mut all);
    for known in ["app-add.txt", "doctor-destination.txt", "retention-preview.txt", "verify.txt"] {
        assert!(all.contains_key(known), "{known} is not found: {:?}", all.keys());
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/help");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let _ = std::fs::remove_dir_all(&golden);
        std::fs::create_dir_all(&golden).unwrap();
        for (name, help) in &all {
            std::fs::write(golden.join(name), help).unwrap();
        }
    }
    let kept: BTreeMap<_, _> = std::fs::read_dir(&golden)
        .unwrap()
        .map(|one| {
            let path = one.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert_eq!(kept.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
    for (name, help) in &all {
        assert_eq!(&kept[name], help, "golden/help/{name}: UPDATE_GOLDEN=1 writes it anew");
    }
}

#[test]
fn completions_are_scripts_and_a_schedule_needs_no_server() {
    let place = Place::new(&[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = place.run(&["completions", shell]);
        assert!(done.status.success(), "{shell}");
        assert!(String::from_utf8_lossy(&done.stdout).contains("retention"), "{shell}");
    }
    let script = String::from_utf8(place.run(&["completions", "bash"]).stdout).unwrap();
    let file = place.file("completions", &script);
    assert!(Command::new("bash").args(["-n", &file]).status().unwrap().success());
    let words = ["schedule", "next", "30 2 * * *", "--time-zone", "Europe/Madrid", "-n", "3"];
    let done = place.run(&[&words[..], &["--json"]].concat());
    let next: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(next["next"].as_array().unwrap().len(), 3);
    assert!(next["local"][0].as_str().unwrap().contains("T02:30:00"), "{next}");
    let shown = String::from_utf8(place.run(&words).stdout).unwrap();
    assert_eq!(shown.lines().filter(|line| line.contains(", 02:30 CE")).count(), 3, "{shown}");
    for wrong in [
        &["schedule", "next", "61 * * * *"][..],
        &["schedule", "next", "daily", "--time-zone", "Mars/Olympus"],
        &["schedule", "next", "daily", "-n", "0"],
        &["completions", "cmd"],
        &["nonsense"],
    ] {
        assert_eq!(place.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
