//! What to do when a repository is damaged.

use crate::Checked;

/// After a damaged file.
pub const DAMAGED: &str = "bring that file back from a copy of the repository if there is one";

/// After a blob that nothing knows of.
pub const MISSING_BLOB: &str = "rebuild the index from the packs (`restic repair index`); if it \
    stays away, write the same source again, which stores the blob anew";

/// Comes before all else.
const COPY: (&str, &str) =
    ("copy", "Change nothing before there is a copy of the repository as it is.");

/// What helps against problems whose subject begins like this, in the order in which it is done.
const STEPS: [(&str, &str); 5] = [
    ("keys/", "A key is damaged or gone: add a new one with a password that still opens it."),
    (
        "snapshots/",
        "A snapshot cannot be read: bring the file back from a copy, or remove it; the others are \
         not touched by it.",
    ),
    (
        "index/",
        "An index file cannot be read: remove it and run `restic repair index`, which reads the \
         packs' own headers. Nothing is lost by that.",
    ),
    (
        "data/",
        "A pack is damaged or gone: bring the file back from a copy. Without one, keep what can be \
         read of it with `restic repair packs` (0.16 or later) and write the sources again: what \
         they still have is stored anew.",
    ),
    (
        "tree ",
        "Snapshots need what is not there: after the index is repaired and the sources are written \
         again, `restic repair snapshots --forget` takes out what stays lost.",
    ),
];

/// One word for a step of [`Checked::advice`], for whoever says it in another language.
pub fn code(step: &str) -> Option<&'static str> {
    let all = STEPS.iter().chain([&COPY]);
    let (code, _) = all.into_iter().find(|(_, text)| *text == step)?;
    Some(code.trim_end_matches(['/', ' ']))
}

impl Checked {
    /// What to do, step by step; nothing where nothing is wrong.
    pub fn advice(&self) -> Vec<&'static str> {
        let has =
            |prefix: &str| self.problems.iter().any(|problem| problem.about.starts_with(prefix));
        let steps: Vec<_> =
            STEPS.iter().filter(|(prefix, _)| has(prefix)).map(|(_, step)| *step).collect();
        if steps.is_empty() { steps } else { std::iter::once(COPY.1).chain(steps).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_word_of_its_own() {
        let mut codes: Vec<_> =
            STEPS.iter().chain([&COPY]).map(|(_, text)| code(text).unwrap()).collect();
        assert_eq!(codes, ["keys", "snapshots", "index", "data", "tree", "copy"]);
        codes.dedup();
        assert_eq!(codes.len(), STEPS.len() + 1);
        assert_eq!(code("something else"), None);
    }
}
