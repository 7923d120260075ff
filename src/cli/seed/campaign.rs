//! `trunkline seed campaign`: a draft of two texts to made-up people.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use trunkline_jobs::campaigns::{Audience, Missing, Plan, Variant, create};
use trunkline_jobs::contacts::seed::seed;
use trunkline_openphone::factory::Factory;
use trunkline_platform::audit::Actor;

use crate::cli::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct SeedCampaign {
    /// Its name
    #[arg(long, default_value = "sample")]
    name: String,
    /// Made-up people who would get it; those of the seed that are there already count
    #[arg(long, default_value_t = 300)]
    people: usize,
    /// The id of a number of ours that it would leave from; can be repeated [default: those of the simulator]
    #[arg(long, value_name = "ID")]
    sender: Vec<String>,
    /// The same seed makes the same people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl SeedCampaign {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let tasks = database::open_tasks(config).await?;
        seed(tasks.db(), tasks.clock(), self.people, self.seed, |_| {}).await?;
        let mut plan = sample(Audience::Segment(format!("source:\"seed:{}\"", self.seed).parse()?));
        if !self.sender.is_empty() {
            plan.senders = self.sender;
        }
        let actor = Actor { name: "trunkline:seed".to_owned(), reason: None };
        let mut tx = tasks.begin().await?;
        let campaign = create(tx.session(), &self.name, &plan, &actor, tasks.clock().now()).await?;
        tx.commit().await?;
        let id = campaign.id;
        output::print(&match self.json {
            true => output::json(&json!({ "id": id, "people": self.people }))?,
            false => format!(
                "campaign {id} is a draft to {} made-up people; see `trunkline campaigns plan {id}`\n",
                self.people
            ),
        })
    }
}

/// A campaign of two texts from the simulator's numbers, to see which is answered more.
pub(in crate::cli) fn sample(audience: Audience) -> Plan {
    let mut plan = Plan::new(audience, "", "");
    plan.senders = Factory::new(0).world().lines.iter().map(|line| line.id.clone()).collect();
    plan.variants = vec![
        Variant::new(
            "discount",
            "Hi {{first_name|there}}, 10% off all repairs this week. Reply STOP to opt out",
        ),
        Variant::new(
            "coffee",
            "Hi {{first_name|there}}, free coffee with all repairs this week. Reply STOP to opt out",
        ),
    ];
    plan.missing = Missing::Blank;
    plan
}
