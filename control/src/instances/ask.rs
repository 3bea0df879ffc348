//! Asks EC2 about instances by their ids.

use std::collections::BTreeSet;

use lb::model::{Config, Ec2Directory};
use tokio::sync::OnceCell;

use super::{Machines, Shown};
use crate::aws::ec2::describe_instances;
use crate::aws::{Account, AwsError};

/// About how many instances EC2 is asked at once: a filter takes 200 values, a page shows 100 instances.
const ASKED_AT_ONCE: usize = 100;

/// Asks as the configuration says.
pub(super) struct Asker {
    pub(super) wanted: Ec2Directory,
    /// Once region and credentials are found.
    account: OnceCell<Account>,
}

impl Asker {
    /// Begins anew where the configuration says something else, and tells whether it does. None: nobody is to be asked.
    pub(super) fn follow(asker: &mut Option<Self>, config: &Config) -> bool {
        let wanted = config.global.elb_api.ec2.as_ref();
        let is_new = asker.as_ref().map(|asker| &asker.wanted) != wanted;
        if is_new {
            *asker = wanted.map(|wanted| Self { wanted: wanted.clone(), account: OnceCell::new() });
        }
        is_new
    }

    /// What EC2 says of these. Those that it does not know are not among them.
    pub(super) async fn ask(&self, ids: &BTreeSet<String>) -> Result<Machines, AwsError> {
        let mut machines = Machines::new();
        if ids.is_empty() {
            return Ok(machines);
        }
        let account = self.account.get_or_try_init(|| Account::find(self.wanted.region.as_deref())).await?;
        let ids: Vec<_> = ids.iter().cloned().collect();
        for some in ids.chunks(ASKED_AT_ONCE) {
            let found = describe_instances(account, &[("instance-id".to_owned(), some.to_vec())]).await?;
            for instance in found.into_iter().filter(|instance| some.contains(&instance.id)) {
                let shown = Shown::of(&instance).ok_or_else(|| AwsError::Malformed {
                    action: "DescribeInstances",
                    why: format!("{} is in a state that nobody knows: {}", instance.id, instance.state),
                })?;
                machines.insert(instance.id, shown);
            }
        }
        Ok(machines)
    }
}
