//! `tandem migrate plan`: the steps between two sets of schemas.

use std::io::{Write as _, stderr};
use std::path::PathBuf;

use clap::Args;
use common::{Error, Result};
use syncdb::migration::{Lineage, Migration, Planned, Verdict, plan};

use super::files::schemas;
use super::report::count;
use crate::commands::synced::to_json;
use crate::terminal::output;

/// Find the steps from some schemas to others, and what each of them costs
///
/// Each step is safe, lossy (something may be lost, or stand in the way, and what), or impossible (and what to do
/// instead). That a column was split, or several were merged, no comparison tells: write such steps by hand.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem migrate plan --from before.json --to after.json\n  \
    tandem migrate plan --from tasks.json --from people.json --to after.json --json > migration.json")]
pub(super) struct Plan {
    /// Schemas before, as JSON: one, as `tandem inspect --schema` prints it, or a list; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    from: Vec<PathBuf>,
    /// Schemas after; as --from
    #[arg(long, value_name = "FILE", required = true)]
    to: Vec<PathBuf>,
    /// Print the migration as JSON, as a lineage has it; what is lossy is told on standard error
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(super) fn run(self) -> Result<()> {
        let (before, after) = (schemas(&self.from)?, schemas(&self.to)?);
        let plan = plan(&before, &after);
        let verdicts = plan.to_string();
        let number = |is: fn(&Verdict) -> bool| {
            let found = plan.steps.iter();
            found.filter(|planned| is(&planned.verdict)).count()
        };
        let impossible = number(|verdict| matches!(verdict, Verdict::Impossible(_)));
        if !self.json {
            let mut out = output();
            write!(out, "{verdicts}")?;
            writeln!(
                out,
                "({}: {} safe, {} lossy, {impossible} impossible)",
                count(plan.steps.len() as u64, "step"),
                number(|verdict| *verdict == Verdict::Safe),
                number(|verdict| matches!(verdict, Verdict::Lossy(_)))
            )?;
        }
        if impossible > 0 {
            let steps = plan.steps.iter().filter_map(in_the_way);
            let steps: Vec<String> = steps.collect();
            return Err(Error::invalid(format!(
                "no migration can be made of this plan:\n  {}",
                steps.join("\n  ")
            )));
        }
        let is_safe = plan.is_safe();
        let migration = Migration::new(plan.into_steps());
        // What compares schemas does not see everything that holds between them.
        Lineage::new(before)?.then(migration.clone())?;
        if self.json {
            writeln!(output(), "{}", to_json(&migration)?)?;
            if !is_safe {
                // Nobody is left to be told when standard error is gone.
                let _ = write!(stderr(), "{verdicts}");
            }
        }
        Ok(())
    }
}

fn in_the_way(planned: &Planned) -> Option<String> {
    match &planned.verdict {
        Verdict::Impossible(why) => Some(format!("{}: {why}", planned.step)),
        _ => None,
    }
}
