//! Files that no version of a table names: what a killed process was writing, or what came too late to be committed.

use crate::catalog::Expired;
use crate::error::{Error, ErrorKind, Result};
use crate::manifests::load_manifest;
use crate::table::{Table, read_file, read_list_at};
use iceberg::spec::ManifestFile;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// Files in a table's folders by their own names, which are never given twice, with their locations.
type Suspects = BTreeMap<String, String>;

impl Table {
    /// Deletes files in the table's folders that are older than [`Upkeep::orphans_after`](crate::Upkeep::orphans_after) and that neither a version of the
    /// metadata names, nor one of its snapshots, nor a snapshot that expired and is not swept yet. Returns how many. Commits do this now and then.
    ///
    /// Only files with names as they are given here are looked at, and none at all if another table has lain in the same folders: its
    /// files are all that is left of it.
    ///
    /// # Errors
    /// Of the storage or the catalog. Nothing was deleted unless all that is named could be read.
    pub async fn remove_orphans(&self) -> Result<usize> {
        let catalog = &self.0.catalog;
        let location = self.metadata().location();
        let before_ms = catalog.now_ms().saturating_sub(crate::upkeep::ms(catalog.upkeep().orphans_after));
        let mut suspects = Suspects::new();
        for folder in ["data", "metadata"] {
            for path in crate::storage::files_older_than(format!("{location}/{folder}"), before_ms).await? {
                let name = path.rsplit('/').next().unwrap_or_default();
                if is_ours(name) {
                    suspects.insert(name.to_owned(), path);
                }
            }
        }
        // The head first: most often that is all there is to read.
        let mut known = HashSet::new();
        self.clear_of_manifests(&self.0.manifests, &mut suspects, &mut known).await?;
        self.clear_of_metadata(&mut suspects);
        if suspects.is_empty() {
            return Ok(0);
        }
        // The table may have moved on in another process: what its newest version names counts.
        let newest = self.refresh().await?;
        newest.clear_of_metadata(&mut suspects);
        let expired = catalog.expired_lists(&self.uuid().to_string()).await?;
        let listed = newest.metadata().snapshots().map(|s| s.manifest_list()).chain(expired.iter().map(|e| e.path.as_str()));
        for list in listed {
            clear(&mut suspects, list);
            match read_list_at(self.file_io(), self.metadata(), list).await {
                Ok(manifests) => self.clear_of_manifests(&manifests, &mut suspects, &mut known).await?,
                // Swept meanwhile, or tidied up by another engine.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            if suspects.is_empty() {
                return Ok(0);
            }
        }
        for Expired { path, .. } in catalog.due_metadata(&self.uuid().to_string(), i64::MAX, i64::MAX).await? {
            clear(&mut suspects, &path);
        }
        if let Some(other) = self.other_table(&suspects).await? {
            tracing::debug!(table = %self.name(), metadata = other, "another table has lain in its folders: orphaned files are left");
            return Ok(0);
        }
        for path in suspects.values() {
            self.file_io()
                .delete(path)
                .await
                .map_err(|e| Error::iceberg(format!("deleting an orphaned file of table {}", self.name()), e))?;
        }
        if !suspects.is_empty() {
            tracing::info!(table = %self.name(), files = suspects.len(), "orphaned files deleted");
        }
        Ok(suspects.len())
    }

    fn clear_of_metadata(&self, suspects: &mut Suspects) {
        let metadata = self.metadata();
        clear(suspects, self.metadata_location());
        metadata.metadata_log().iter().for_each(|l| clear(suspects, &l.metadata_file));
        metadata.snapshots().for_each(|s| clear(suspects, s.manifest_list()));
        metadata.statistics_iter().for_each(|s| clear(suspects, &s.statistics_path));
        metadata.partition_statistics_iter().for_each(|s| clear(suspects, &s.statistics_path));
    }

    /// Takes out the manifests and all files that they name, live or not.
    async fn clear_of_manifests(
        &self,
        manifests: &[ManifestFile],
        suspects: &mut Suspects,
        known: &mut HashSet<String>,
    ) -> Result<()> {
        for file in manifests {
            if !known.insert(file.manifest_path.clone()) {
                continue;
            }
            clear(suspects, &file.manifest_path);
            match load_manifest(&self.0, file).await {
                Ok(manifest) => manifest.entries().iter().for_each(|e| clear(suspects, e.file_path())),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// A metadata file among the suspects that is another table's.
    async fn other_table<'a>(&self, suspects: &'a Suspects) -> Result<Option<&'a str>> {
        #[derive(Deserialize)]
        struct Identity {
            #[serde(rename = "table-uuid")]
            uuid: uuid::Uuid,
        }
        for (name, path) in suspects.iter().filter(|(name, _)| name.ends_with(METADATA)) {
            let bytes = read_file(self.file_io(), path).await?;
            // Half a file, of a process that was killed, tells nothing; files appear whole, so there is none.
            let own = serde_json::from_slice::<Identity>(&bytes).is_ok_and(|identity| identity.uuid == self.uuid());
            if !own {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

const METADATA: &str = ".metadata.json";

/// Names as [`DeltaWriter`](crate::DeltaWriter), compactions and commits give them, and those of files that were being written.
fn is_ours(name: &str) -> bool {
    let begins_with_uuid = |rest: &str| rest.get(..36).is_some_and(|id| uuid::Uuid::try_parse(id).is_ok());
    match name.strip_prefix('.') {
        Some(draft) => draft.ends_with(".part"),
        None if name.ends_with(".parquet") => begins_with_uuid(name),
        None if name.ends_with(".avro") => begins_with_uuid(name) || name.starts_with("snap-"),
        None => name.ends_with(METADATA),
    }
}

fn clear(suspects: &mut Suspects, path: &str) {
    suspects.remove(path.rsplit('/').next().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_names_as_they_are_given_here_are_looked_at() {
        let id = "0193f1f0-7b1c-7000-8000-000000000001";
        for ours in ["-data.parquet", "-deletes.parquet", "-compacted-data.parquet", "-m0.avro"] {
            assert!(is_ours(&format!("{id}{ours}")), "{ours}");
        }
        assert!(is_ours("snap-1-1-x.avro") && is_ours("00001-x.metadata.json") && is_ours(".a.parquet.x.part"));
        for others in ["00000-0-data.parquet", "stats.puffin", "version-hint.text", "readme", ".hidden", "m0.avro", ""] {
            assert!(!is_ours(others), "{others}");
        }
    }
}
