//! Relative links in the Markdown files: each leads to a file or folder that exists, and to one
//! of its headings.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// Adds every link under `folder` that leads nowhere.
pub(crate) fn check(folder: &Path, problems: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                check(&path, problems)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            for link in links(&fs::read_to_string(&path)?) {
                if !leads(&path, &link)? {
                    problems.push(format!("{}: `{link}` leads nowhere", path.display()));
                }
            }
        }
    }
    Ok(())
}

fn leads(from: &Path, link: &str) -> Result<bool> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => from.to_owned(),
        _ => from.parent().map_or_else(|| PathBuf::from(file), |folder| folder.join(file)),
    };
    if heading.is_empty() || target.extension().is_none_or(|extension| extension != "md") {
        return Ok(target.exists());
    }
    Ok(target.is_file() && headings(&fs::read_to_string(&target)?).iter().any(|id| id == heading))
}

/// The lines that are text, not code, without the code inside them.
fn prose(markdown: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            out.extend(line.split('`').step_by(2));
            out.push('\n');
        }
    }
    out
}

/// Targets that are neither elsewhere on the web nor mail.
fn links(markdown: &str) -> Vec<String> {
    prose(markdown)
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split_whitespace().next().unwrap_or_default().to_owned())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// The names under which headings can be linked to.
fn headings(markdown: &str) -> Vec<String> {
    let mut fenced = false;
    let mut ids = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let text = line.trim_start_matches('#');
        if fenced || text.len() == line.len() || !text.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        ids.push(text.trim().to_lowercase().chars().filter(kept).collect::<String>());
    }
    ids.iter().map(|id| id.replace(' ', "-")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nowhere_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::create_dir(folder.join("docs")).unwrap();
        fs::write(folder.join("docs/a.md"), "# Qué pasó: `x_y`\n```\n# no\n[n](none)\n```\n")
            .unwrap();
        let text = "[a](docs/a.md) [h](docs/a.md#qué-pasó-x_y) [w](https://e.org/x) `[c](c)` [d](docs)\n\
                    [no](docs/b.md) [h](docs/a.md#no) [own](#none)\n";
        fs::write(folder.join("README.md"), text).unwrap();
        let mut problems = Vec::new();
        check(folder, &mut problems).unwrap();
        assert_eq!(problems.len(), 3, "{problems:?}");
        for (problem, link) in problems.iter().zip(["`docs/b.md`", "`docs/a.md#no`", "`#none`"]) {
            assert!(problem.contains(link), "{problem}");
        }
    }
}
