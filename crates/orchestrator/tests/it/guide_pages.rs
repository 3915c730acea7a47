//! The user guide says the same in both languages, with the same pictures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use model::FailureCode;
use strum::IntoEnumIterator as _;

use crate::guide;

pub(crate) const LANGUAGES: [&str; 2] = ["en", "es"];
/// Most that a picture takes.
pub(crate) const MOST_BYTES: usize = 60_000;

/// Where the guide is.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide")
}

/// What a page has, in the order of the page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outline {
    /// Levels of headings.
    headings: Vec<usize>,
    /// Files of pictures, without the language's folder.
    pictures: Vec<String>,
    /// Blocks of code.
    blocks: usize,
    /// Rows of tables.
    rows: usize,
}

/// The outline of a page, and the words that stand for its pictures.
fn read(text: &str, language: &str) -> (Outline, Vec<String>) {
    let (mut outline, mut words) = (Outline::default(), Vec::new());
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            outline.blocks += usize::from(fenced);
        } else if !fenced {
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            if level > 0 {
                outline.headings.push(level);
            }
            outline.rows += usize::from(line.starts_with('|'));
            for (file, alt) in pictures(line) {
                let own = format!("images/{language}/");
                let file = file.strip_prefix(&own);
                outline.pictures.push(file.expect("one of the page's language").to_owned());
                words.push(alt);
            }
        }
    }
    (outline, words)
}

/// Files and words of the pictures in a line: as Markdown has them or, where they are not to fill
/// the page, as HTML does.
fn pictures(line: &str) -> Vec<(String, String)> {
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from)?;
        Some(rest.split_once(to)?.0.to_owned())
    };
    let plain = line.split("![").skip(1).map(|one| {
        let alt = one.split_once("](").map(|(alt, _)| alt.to_owned());
        (between(one, "](", ")"), alt)
    });
    let sized = line.split("<img ").skip(1);
    let sized = sized.map(|one| (between(one, "src=\"", "\""), between(one, "alt=\"", "\"")));
    plain.chain(sized).filter_map(|(file, alt)| Some((file?, alt?))).collect()
}

/// Every page by its name without a language.
pub(crate) fn pages(language: &str) -> BTreeMap<String, String> {
    let ending = if language == "en" { ".md" } else { ".es.md" };
    let files = fs::read_dir(folder()).unwrap().flatten();
    let names = files.map(|file| file.file_name().into_string().unwrap());
    let own = names.filter(|name| name.ends_with(ending));
    let own = own.filter(|name| language != "en" || !name.ends_with(".es.md"));
    own.map(|name| {
        let text = fs::read_to_string(folder().join(&name)).unwrap();
        (name.trim_end_matches(ending).to_owned(), text)
    })
    .collect()
}

#[test]
fn both_languages_have_the_same_pages() {
    let (english, spanish) = (pages("en"), pages("es"));
    assert!(english.len() > 15, "{english:?}");
    assert_eq!(english.keys().collect::<Vec<_>>(), spanish.keys().collect::<Vec<_>>());
    for (name, text) in &english {
        let (ours, said) = read(text, "en");
        let (theirs, told) = read(&spanish[name], "es");
        assert_eq!(ours, theirs, "{name}.md and {name}.es.md");
        for (english, spanish) in said.iter().zip(&told) {
            assert!(english.len() > 10 && spanish.len() > 10, "{name}: {english:?} {spanish:?}");
            assert_ne!(english, spanish, "{name}: a picture is told of in one language only");
        }
    }
}

#[test]
fn every_code_of_a_failure_is_explained() {
    for language in LANGUAGES {
        let page = &pages(language)["troubleshooting"];
        for code in FailureCode::iter() {
            assert!(page.contains(&format!("| `{code}` |")), "{code} in {language}");
        }
    }
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    for language in LANGUAGES {
        let all = pages(language);
        let contents = &all["README"];
        let ending = if language == "en" { "md" } else { "es.md" };
        for name in all.keys().filter(|name| *name != "README") {
            assert!(contents.contains(&format!("({name}.{ending})")), "{name} in {language}");
        }
    }
}

#[test]
fn the_pictures_are_those_that_the_browser_makes() {
    let made: BTreeSet<String> =
        guide::names().into_iter().map(|name| format!("{name}.webp")).collect();
    for language in LANGUAGES {
        let pages = pages(language);
        let shown = pages.values().flat_map(|text| read(text, language).0.pictures);
        let shown: BTreeSet<String> = shown.collect();
        assert_eq!(shown, made, "shown in {language}, and made by `UPDATE_GUIDE=1`");
        let images = folder().join("images").join(language);
        let there = fs::read_dir(&images).unwrap().flatten();
        let there = there.map(|file| file.file_name().into_string().unwrap());
        assert_eq!(there.collect::<BTreeSet<_>>(), made, "in {}", images.display());
        for file in &made {
            let bytes = fs::read(images.join(file)).unwrap();
            assert!(bytes.starts_with(b"RIFF") && bytes.len() < MOST_BYTES, "{language}/{file}");
        }
    }
}
