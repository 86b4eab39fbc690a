//! The results as Markdown.

use std::fmt::Write;

use crate::report::{Measure, Ratio, Report, RunTimes, Section};

/// The whole report: the machine, the goals, and each comparison in detail.
pub(crate) fn markdown(report: &Report) -> String {
    let machine = &report.machine;
    let mut lines = vec![
        format!(
            "{}, {} CPUs, {} GiB of memory, Linux {}, {}; load before: {}",
            machine.cpu,
            machine.cpus,
            gib(machine.memory_bytes),
            machine.kernel,
            machine.filesystem,
            machine.load_before
        ),
        format!(
            "Commit {}, SHA-256 kernel {}; {}",
            machine.commit,
            machine.sha256_kernel,
            machine.versions.join("; ")
        ),
        String::new(),
    ];
    let ratios = report.sections.iter().flat_map(|section| &section.ratios);
    lines.extend(table(
        &["what", "against", "ratio", "in each round", "goal", "met"],
        ratios.map(ratio),
    ));
    lines.extend(table(
        &["peak memory of", "MiB", "goal", "met"],
        report.sections.iter().filter_map(memory),
    ));
    let runs_with_goal = report.sections.iter().flat_map(|section| &section.runs);
    lines.extend(table(
        &["time of", "median s", "goal", "met"],
        runs_with_goal.filter_map(time),
    ));
    for section in &report.sections {
        lines.push(format!("### {}", section.title));
        lines.push(String::new());
        lines.push(section.about.clone());
        lines.push(String::new());
        lines.extend(table(
            &[
                "run",
                "data GiB",
                "median s",
                "least–most s",
                "CPU s",
                "GB/s",
                "s/GiB",
                "peak MiB",
                "from disk MiB",
            ],
            section.runs.iter().map(runs),
        ));
        lines.extend(section.notes.iter().map(|note| format!("Note: {note}\n")));
    }
    let mut text = lines.join("\n");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Nothing where there are no rows.
fn table<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> Vec<String> {
    let mut lines = vec![
        format!("| {} |", head.join(" | ")),
        format!("|{}", "---|".repeat(N)),
    ];
    lines.extend(rows.map(|row| format!("| {} |", row.join(" | "))));
    if lines.len() == 2 {
        return Vec::new();
    }
    lines.push(String::new());
    lines
}

fn ratio(ratio: &Ratio) -> [String; 6] {
    let (unit, sign, goal) = match ratio.measure {
        Measure::Faster(goal) => (" × faster", "≥", goal),
        Measure::Cost(goal) => (" × the time", "≤", goal),
        Measure::CostPerByte(goal) => (" × the time per byte", "≤", goal),
    };
    [
        ratio.ours.clone(),
        ratio.other.clone(),
        format!("**{}**{unit}", number(ratio.ratio)),
        format!("{}–{}", number(ratio.least), number(ratio.most)),
        goal.map_or(String::new(), |goal| format!("{sign} {goal}")),
        answer(ratio.met).into(),
    ]
}

/// Of the runs with a goal for their memory the one that comes nearest to it.
fn memory(section: &Section) -> Option<[String; 4]> {
    let limited = section
        .runs
        .iter()
        .filter_map(|runs| Some((runs, runs.memory_limit?)));
    let share = |(runs, limit): &(&RunTimes, u64)| runs.peak_memory() as f64 / *limit as f64;
    let (runs, limit) = limited.max_by(|a, b| share(a).total_cmp(&share(b)))?;
    Some([
        format!("{}: {}", section.title, runs.name),
        mib(runs.peak_memory() as f64),
        format!("≤ {}", mib(limit as f64)),
        answer(Some(runs.peak_memory() <= limit)).into(),
    ])
}

/// A run with a goal for its own time.
fn time(runs: &RunTimes) -> Option<[String; 4]> {
    let limit = runs.seconds_limit?;
    Some([
        runs.name.clone(),
        number(runs.seconds()),
        format!("≤ {limit}"),
        answer(Some(runs.seconds() <= limit)).into(),
    ])
}

fn answer(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    }
}

fn runs(runs: &RunTimes) -> [String; 9] {
    let (least, most) = runs.seconds_range();
    let bytes = runs.bytes as f64;
    let of_data = |value: String| if runs.bytes > 0 { value } else { String::new() };
    [
        runs.name.clone(),
        of_data(gib(runs.bytes)),
        number(runs.seconds()),
        format!("{}–{}", number(least), number(most)),
        number(runs.cpu_seconds()),
        of_data(number(bytes / 1e9 / runs.seconds())),
        of_data(number(runs.seconds() / (bytes / f64::from(1 << 30)))),
        mib(runs.peak_memory() as f64),
        mib(runs.disk_read()),
    ]
}

fn gib(bytes: u64) -> String {
    number(bytes as f64 / f64::from(1 << 30))
}

fn mib(bytes: f64) -> String {
    format!("{:.0}", bytes / f64::from(1 << 20))
}

/// Three digits that count.
fn number(value: f64) -> String {
    let magnitude = value.abs().log10().floor();
    let decimals = if magnitude.is_finite() {
        (2.0 - magnitude).clamp(0.0, 5.0) as usize
    } else {
        0
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{value:.decimals$}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::MachineReport, report::tests::runs};

    fn report() -> Report {
        let ours = RunTimes {
            memory_limit: Some(4 << 20),
            seconds_limit: Some(1.5),
            ..runs("ours", 1 << 30, &[1.0, 1.5, 2.0])
        };
        let section = Section::new(
            "Hashing",
            "What is done.",
            vec![
                ours,
                runs("other", 1 << 30, &[8.0, 6.0, 7.0]),
                runs("start", 0, &[1.0]),
            ],
        );
        let mut section = section
            .compare(0, 1, Measure::Faster(Some(4.5)))
            .compare(0, 1, Measure::Cost(Some(0.1)))
            .compare(1, 0, Measure::CostPerByte(None));
        section.notes.push("Beware.".into());
        Report {
            machine: MachineReport {
                cpu: "Some CPU".into(),
                cpus: 2,
                memory_bytes: 24 << 30,
                kernel: "6.1".into(),
                filesystem: "ext4 on /dev/vda".into(),
                load_before: "0.10".into(),
                sha256_kernel: "portable".into(),
                commit: "abc".into(),
                versions: vec!["veritysetup 2".into(), "cp 9".into()],
            },
            sections: vec![section],
        }
    }

    const EXPECTED: &str = "\
Some CPU, 2 CPUs, 24.0 GiB of memory, Linux 6.1, ext4 on /dev/vda; load before: 0.10
Commit abc, SHA-256 kernel portable; veritysetup 2; cp 9

| what | against | ratio | in each round | goal | met |
|---|---|---|---|---|---|
| ours | other | **4.67** × faster | 3.50–8.00 | ≥ 4.5 | yes |
| ours | other | **0.214** × the time | 0.125–0.286 | ≤ 0.1 | **no** |
| other | ours | **4.67** × the time per byte | 3.50–8.00 |  |  |

| peak memory of | MiB | goal | met |
|---|---|---|---|
| Hashing: ours | 5 | ≤ 4 | **no** |

| time of | median s | goal | met |
|---|---|---|---|
| ours | 1.50 | ≤ 1.5 | yes |

### Hashing

What is done.

| run | data GiB | median s | least–most s | CPU s | GB/s | s/GiB | peak MiB | from disk MiB |
|---|---|---|---|---|---|---|---|---|
| ours | 1.00 | 1.50 | 1.00–2.00 | 3.00 | 0.716 | 1.50 | 5 | 0 |
| other | 1.00 | 7.00 | 6.00–8.00 | 14.0 | 0.153 | 7.00 | 5 | 0 |
| start |  | 1.00 | 1.00–1.00 | 2.00 |  |  | 5 | 0 |

Note: Beware.
";

    #[test]
    fn a_report_as_markdown() {
        assert_eq!(markdown(&report()), EXPECTED);
    }

    /// What documents quote, they quote as it was measured.
    #[test]
    fn documents_quote_the_results() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
        let measured = [
            "docs/benchmarks.json",
            "docs/benchmarks-mount.json",
            "docs/benchmarks-reading.json",
            "docs/benchmarks-fec-hub.json",
        ]
        .map(|path| {
            let report: Report = serde_json::from_str(&read(path)).unwrap();
            markdown(&report)
        });
        let measured: Vec<&str> = measured.iter().flat_map(|text| text.lines()).collect();
        for (document, least) in [
            ("README.md", 10),
            ("crates/dm-verity/README.md", 4),
            ("docs/benchmarks.md", 25),
        ] {
            let text = read(document);
            let quoted = text
                .lines()
                .filter_map(|line| match line.strip_prefix("> ") {
                    Some(machine) => Some(machine),
                    None => (line.contains("** × ")
                        || line.contains("–") && line.starts_with("| disk-"))
                    .then_some(line),
                });
            let mut count = 0;
            for line in quoted {
                assert!(measured.contains(&line), "{document}: {line}");
                count += 1;
            }
            assert!(count >= least, "{document}: {count}");
        }
    }

    #[test]
    fn a_report_as_json_and_back() {
        let report = report();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["sections"][0]["runs"][0]["samples"][1]["seconds"], 1.5);
        assert_eq!(json["sections"][0]["ratios"][0]["measure"]["faster"], 4.5);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.001234, "0.00123"),
            (0.5, "0.500"),
            (1.0, "1.00"),
            (12.34, "12.3"),
            (123.4, "123"),
            (12345.0, "12345"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
