//! Manifests of a commit: new ones, merged ones, and those that mark files deleted: everything, or what a rewrite replaces.

use crate::commit::CommitError;
use crate::compaction::RewriteFiles;
use crate::error::{Error, ErrorKind, Result};
use crate::table::{Recent, State};
use iceberg::spec::{
    DataContentType, DataFile, FormatVersion, Manifest, ManifestContentType, ManifestEntryRef, ManifestFile, ManifestListWriter,
    ManifestWriter, ManifestWriterBuilder, SchemaRef, TableMetadata, UNASSIGNED_SEQUENCE_NUMBER,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Entries of one manifest of a truncation at most: bounds the memory of writing it.
const ENTRIES_PER_MANIFEST: usize = 20_000;
/// Of manifests with at most so many files, the files are remembered until they are merged.
const REMEMBERED: usize = 4;

/// Writes the manifests of one snapshot and remembers what it wrote, so that a lost commit can clean up.
pub(crate) struct ManifestSet<'a> {
    state: &'a State,
    schema: SchemaRef,
    snapshot_id: i64,
    folder: String,
    id: uuid::Uuid,
    added: Recent,
    pub written: Vec<String>,
}

impl<'a> ManifestSet<'a> {
    pub(crate) fn new(state: &'a State, schema: SchemaRef, snapshot_id: i64) -> Self {
        let folder = format!("{}/metadata", state.metadata.location());
        Self { state, schema, snapshot_id, folder, id: uuid::Uuid::now_v7(), added: Recent::new(), written: Vec::new() }
    }

    fn writer(&mut self, content: ManifestContentType, spec_id: i32) -> Result<ManifestWriter> {
        let path = format!("{}/{}-m{}.avro", self.folder, self.id, self.written.len());
        self.written.push(path.clone());
        let metadata = &self.state.metadata;
        let spec = metadata.partition_spec_by_id(spec_id).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, format!("table {} names partition spec {spec_id} and has none", self.state.name))
        })?;
        let output = self.state.catalog.file_io().new_output(&path).map_err(|e| self.failed(e))?;
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), Arc::clone(&self.schema), spec.as_ref().clone());
        Ok(match (metadata.format_version(), content) {
            (FormatVersion::V1 | FormatVersion::V2, ManifestContentType::Data) => builder.build_v2_data(),
            (FormatVersion::V1 | FormatVersion::V2, ManifestContentType::Deletes) => builder.build_v2_deletes(),
            (FormatVersion::V3, ManifestContentType::Data) => builder.build_v3_data(),
            (FormatVersion::V3, ManifestContentType::Deletes) => builder.build_v3_deletes(),
        })
    }

    fn failed(&self, e: iceberg::Error) -> Error {
        Error::iceberg(format!("writing a manifest of table {}", self.state.name), e)
    }

    /// Manifests of the files that this snapshot adds; both are written at the same time.
    pub(crate) async fn added(&mut self, data: Vec<DataFile>, deletes: Vec<DataFile>) -> Result<Vec<ManifestFile>> {
        let spec = self.state.metadata.default_partition_spec_id();
        let mut writers = Vec::with_capacity(2);
        for (content, files) in [(ManifestContentType::Data, data), (ManifestContentType::Deletes, deletes)] {
            if files.is_empty() {
                continue;
            }
            let mut writer = self.writer(content, spec)?;
            if files.len() <= REMEMBERED
                && let Some(path) = self.written.last()
            {
                self.added.insert(path.clone(), Arc::new(files.clone()));
            }
            for file in files {
                // Below zero: inherited from the manifest list, whatever number the commit gets.
                writer.add_file(file, UNASSIGNED_SEQUENCE_NUMBER).map_err(|e| self.failed(e))?;
            }
            writers.push(writer.write_manifest_file());
        }
        futures::future::try_join_all(writers).await.map_err(|e| self.failed(e))
    }

    /// Manifests that say of every live file: deleted by this snapshot. Returns what was deleted, too.
    pub(crate) async fn all_deleted(&mut self) -> Result<(Vec<ManifestFile>, Vec<DataFile>)> {
        let mut live: BTreeMap<(bool, i32), Vec<ManifestEntryRef>> = BTreeMap::new();
        let old = Arc::clone(&self.state.manifests);
        for file in old.iter() {
            let deletes = file.content == ManifestContentType::Deletes;
            let alive = self.load(file).await?.into_parts().0.into_iter().filter(|e| e.is_alive());
            live.entry((deletes, file.partition_spec_id)).or_default().extend(alive);
        }
        let (mut manifests, mut gone) = (Vec::new(), Vec::new());
        for ((deletes, spec), entries) in live {
            let content = if deletes { ManifestContentType::Deletes } else { ManifestContentType::Data };
            for entries in entries.chunks(ENTRIES_PER_MANIFEST) {
                let mut writer = self.writer(content, spec)?;
                for entry in entries {
                    let sequence = entry.sequence_number().unwrap_or_default();
                    let of_file = entry.file_sequence_number.or(Some(sequence));
                    writer.add_delete_file(entry.data_file().clone(), sequence, of_file).map_err(|e| self.failed(e))?;
                    gone.push(entry.data_file().clone());
                }
                let mut manifest = writer.write_manifest_file().await.map_err(|e| self.failed(e))?;
                // The spec counts live files only, and there are none; the crate would leave the list writer to invent one.
                manifest.min_sequence_number = UNASSIGNED_SEQUENCE_NUMBER;
                manifests.push(manifest);
            }
        }
        Ok((manifests, gone))
    }

    /// The head's manifests with the files of a rewrite in the place of those that it replaces: manifests without one of these stay as
    /// they are, what is left of the others comes into the new ones.
    ///
    /// # Errors
    /// [`CommitError::Outdated`]: not all of them are live, rows of theirs were deleted by position since the rewrite began, a column that
    /// it did not see is there again, or what it wrote is gone.
    pub(crate) async fn rewritten(&mut self, rewrite: &RewriteFiles) -> Result<Vec<ManifestFile>, CommitError> {
        let name = self.state.name.clone();
        let outdated = |why: String| {
            CommitError::Outdated(Error::new(
                ErrorKind::Invalid,
                format!("a compaction of table {name} is outdated: {why}; it is planned anew"),
            ))
        };
        let known = |id: i32| id > rewrite.last_column_id || rewrite.fields.contains(&id);
        if let Some(field) = self.state.metadata.current_schema().as_struct().fields().iter().find(|f| !known(f.id)) {
            // Its values are in the old files alone.
            return Err(outdated(format!("the column {} was away while it was under way, and is back", field.name)));
        }
        for file in rewrite.data.iter().chain(&rewrite.deletes) {
            if !self.state.catalog.file_io().exists(file.file_path()).await.map_err(|e| self.failed(e))? {
                return Err(outdated(format!("{}, which it wrote, was deleted", file.file_path())));
            }
        }
        let mut replaced: HashMap<&str, i64> = rewrite.replaced.iter().map(|(f, sequence)| (f.file_path(), *sequence)).collect();
        let (oldest, newest) = replaced.values().fold((i64::MAX, i64::MIN), |(low, high), s| (low.min(*s), high.max(*s)));
        let mut stay: BTreeMap<(bool, i32), Vec<ManifestFile>> = BTreeMap::new();
        let mut touched: BTreeMap<(bool, i32), Vec<(ManifestEntryRef, bool)>> = BTreeMap::new();
        let old = Arc::clone(&self.state.manifests);
        for file in old.iter().filter(|m| m.has_added_files() || m.has_existing_files()) {
            let group = (file.content == ManifestContentType::Deletes, file.partition_spec_id);
            let newer_deletes = group.0 && file.sequence_number > rewrite.seen;
            if !newer_deletes && (file.min_sequence_number > newest || file.sequence_number < oldest) {
                stay.entry(group).or_default().push(file.clone());
                continue;
            }
            let mut live: Vec<(ManifestEntryRef, bool)> = Vec::new();
            for entry in self.load(file).await?.into_parts().0.into_iter().filter(|e| e.is_alive()) {
                let sequence = entry.sequence_number().unwrap_or_default();
                if entry.content_type() == DataContentType::PositionDeletes && sequence > rewrite.seen {
                    return Err(outdated(format!("{} deletes rows by position since it began", entry.file_path())));
                }
                let goes = replaced.get(entry.file_path()) == Some(&sequence);
                if goes {
                    replaced.remove(entry.file_path());
                }
                live.push((entry, goes));
            }
            match live.iter().any(|(_, goes)| *goes) {
                true => touched.entry(group).or_default().extend(live),
                false => stay.entry(group).or_default().push(file.clone()),
            }
        }
        if let Some(gone) = replaced.keys().next() {
            return Err(outdated(format!("{gone} is no longer one of its files ({} in all)", replaced.len())));
        }
        let spec = self.state.metadata.default_partition_spec_id();
        let mut manifests = Vec::new();
        for (content, files) in [(ManifestContentType::Data, &rewrite.data), (ManifestContentType::Deletes, &rewrite.deletes)] {
            let deletes = content == ManifestContentType::Deletes;
            if !files.is_empty() {
                touched.entry((deletes, spec)).or_default();
            }
            for ((_, of), mut entries) in touched.extract_if(.., |(is_deletes, _), _| *is_deletes == deletes) {
                let added = if of == spec { files.as_slice() } else { &[] };
                manifests.extend(self.replaced(content, of, added, rewrite.sequence, &mut entries).await?);
            }
        }
        manifests.extend(stay.into_values().flatten());
        Ok(manifests)
    }

    /// Manifests of new files with their sequence number, and of old ones that stay or go.
    async fn replaced(
        &mut self,
        content: ManifestContentType,
        spec: i32,
        added: &[DataFile],
        sequence: i64,
        entries: &mut [(ManifestEntryRef, bool)],
    ) -> Result<Vec<ManifestFile>> {
        let mut manifests = Vec::new();
        let mut writer = self.writer(content, spec)?;
        let (mut open, mut alive) = (0, 0);
        for file in added {
            writer.add_file(file.clone(), sequence).map_err(|e| self.failed(e))?;
            open += 1;
            alive += 1;
        }
        for (entry, goes) in entries {
            if open >= ENTRIES_PER_MANIFEST {
                let full = std::mem::replace(&mut writer, self.writer(content, spec)?);
                manifests.push(self.end(full, alive).await?);
                (open, alive) = (0, 0);
            }
            let sequence = entry.sequence_number().unwrap_or_default();
            let (file, of_file) = (entry.data_file().clone(), entry.file_sequence_number.or(Some(sequence)));
            if *goes {
                writer.add_delete_file(file, sequence, of_file).map_err(|e| self.failed(e))?;
            } else {
                let snapshot = entry.snapshot_id().unwrap_or(self.snapshot_id);
                writer.add_existing_file(file, snapshot, sequence, of_file).map_err(|e| self.failed(e))?;
                alive += 1;
            }
            open += 1;
        }
        manifests.push(self.end(writer, alive).await?);
        Ok(manifests)
    }

    async fn end(&self, writer: ManifestWriter, alive: usize) -> Result<ManifestFile> {
        let mut manifest = writer.write_manifest_file().await.map_err(|e| self.failed(e))?;
        if alive == 0 {
            // The spec counts live files only, and there are none; the crate would leave the list writer to invent one.
            manifest.min_sequence_number = UNASSIGNED_SEQUENCE_NUMBER;
        }
        Ok(manifest)
    }

    /// The files of small manifests that this process wrote and that are in this list.
    pub(crate) fn recent(&mut self, manifests: &[ManifestFile]) -> Recent {
        let mut recent = std::mem::take(&mut self.added);
        for m in manifests {
            if let Some(files) = self.state.recent.get(&m.manifest_path) {
                recent.insert(m.manifest_path.clone(), Arc::clone(files));
            }
        }
        recent
    }

    /// The manifests that still matter to a child of the head, merged where `fan_in` of about one size have come together.
    pub(crate) async fn carried(&mut self, fan_in: usize, target: u64) -> Result<Vec<ManifestFile>> {
        let kept = self.state.manifests.iter().filter(|m| m.has_added_files() || m.has_existing_files()).cloned();
        let mut groups: BTreeMap<(bool, i32), Vec<ManifestFile>> = BTreeMap::new();
        for m in kept {
            groups.entry((m.content == ManifestContentType::Deletes, m.partition_spec_id)).or_default().push(m);
        }
        let mut out = Vec::new();
        for ((_, spec), group) in groups {
            let (merge, keep) = choose(group, fan_in, target);
            // Newest first, as the commits would have left them.
            out.extend(self.merged(merge, spec, target).await?);
            out.extend(keep);
        }
        Ok(out)
    }

    async fn merged(&mut self, files: Vec<ManifestFile>, spec: i32, target: u64) -> Result<Vec<ManifestFile>> {
        let Some(content) = files.first().map(|f| f.content) else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        let mut open: Option<ManifestWriter> = None;
        let mut bytes = 0_u64;
        for file in files {
            let length = length(&file);
            if bytes > 0 && bytes.saturating_add(length) > target {
                if let Some(full) = open.take() {
                    out.push(full.write_manifest_file().await.map_err(|e| self.failed(e))?);
                }
                bytes = 0;
            }
            bytes = bytes.saturating_add(length);
            let mut writer = match open.take() {
                Some(writer) => writer,
                None => self.writer(content, spec)?,
            };
            if let Some(files) = self.state.recent.get(&file.manifest_path) {
                for f in files.iter() {
                    let sequence = file.sequence_number;
                    writer
                        .add_existing_file(f.clone(), file.added_snapshot_id, sequence, Some(sequence))
                        .map_err(|e| self.failed(e))?;
                }
                open = Some(writer);
                continue;
            }
            for entry in self.load(&file).await?.entries().iter().filter(|e| e.is_alive()) {
                let sequence = entry.sequence_number().unwrap_or_default();
                let of_file = entry.file_sequence_number.or(Some(sequence));
                let snapshot = entry.snapshot_id().unwrap_or(file.added_snapshot_id);
                writer.add_existing_file(entry.data_file().clone(), snapshot, sequence, of_file).map_err(|e| self.failed(e))?;
            }
            open = Some(writer);
        }
        if let Some(last) = open {
            out.push(last.write_manifest_file().await.map_err(|e| self.failed(e))?);
        }
        Ok(out)
    }

    async fn load(&self, file: &ManifestFile) -> Result<Manifest> {
        load_manifest(self.state, file).await
    }

    /// Writes the manifest list; returns its place and the manifests as a later commit carries them on.
    pub(crate) async fn list(
        &mut self,
        metadata: &TableMetadata,
        parent: Option<i64>,
        sequence: i64,
        mut manifests: Vec<ManifestFile>,
    ) -> Result<(String, Vec<ManifestFile>)> {
        let what = || format!("writing the manifest list of table {}", self.state.name);
        let path = format!("{}/snap-{}-1-{}.avro", self.folder, self.snapshot_id, self.id);
        self.written.push(path.clone());
        for m in &mut manifests {
            for n in [&mut m.sequence_number, &mut m.min_sequence_number] {
                if *n == UNASSIGNED_SEQUENCE_NUMBER {
                    *n = sequence;
                }
            }
        }
        let output = self.state.catalog.file_io().new_output(&path).map_err(|e| Error::iceberg(what(), e))?;
        let output = output.writer().await.map_err(|e| Error::iceberg(what(), e))?;
        let mut writer = match metadata.format_version() {
            FormatVersion::V1 | FormatVersion::V2 => ManifestListWriter::v2(output, self.snapshot_id, parent, sequence),
            FormatVersion::V3 => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("table {} has format version 3; only version 2 is written here", self.state.name),
                ));
            }
        };
        writer.add_manifests(manifests.iter().cloned()).map_err(|e| Error::iceberg(what(), e))?;
        writer.close().await.map_err(|e| Error::iceberg(what(), e))?;
        Ok((path, manifests))
    }
}

pub(crate) async fn load_manifest(state: &State, file: &ManifestFile) -> Result<Manifest> {
    file.load_manifest(state.catalog.file_io())
        .await
        .map_err(|e| Error::iceberg(format!("reading the manifest {} of table {}", file.manifest_path, state.name), e))
}

fn length(file: &ManifestFile) -> u64 {
    u64::try_from(file.manifest_length).unwrap_or(0)
}

/// Which manifests to merge and which to leave.
///
/// Manifests are of one tier if the number of their files has as many digits (to the base of `fan_in`). Once a tier would
/// have `fan_in` of them, they become one of the next; if that fills the next, all go together. So a file's entry is
/// rewritten once for each tier, and a list has fewer than `fan_in` manifests of each. Those of the target size are left alone.
fn choose(group: Vec<ManifestFile>, fan_in: usize, target: u64) -> (Vec<ManifestFile>, Vec<ManifestFile>) {
    let fan_in = fan_in.max(2);
    let tier = |m: &ManifestFile| {
        let files = m.added_files_count.unwrap_or(0).saturating_add(m.existing_files_count.unwrap_or(0));
        usize::try_from(files.max(1)).unwrap_or(usize::MAX).ilog(fan_in)
    };
    let mut tiers: BTreeMap<u32, usize> = BTreeMap::new();
    for m in group.iter().filter(|m| length(m) < target) {
        *tiers.entry(tier(m)).or_default() += 1;
    }
    // What a merge of the tier below makes comes in, too.
    let (mut incoming, mut top) = (0, None);
    for (t, count) in &tiers {
        if count + incoming < fan_in || top.is_some_and(|top| top + 1 != *t) {
            break;
        }
        (incoming, top) = (1, Some(*t));
    }
    let Some(top) = top else { return (Vec::new(), newest_first(group)) };
    let (mut merge, keep): (Vec<_>, Vec<_>) = group.into_iter().partition(|m| length(m) < target && tier(m) <= top);
    merge.sort_by_key(|m| m.sequence_number);
    (merge, newest_first(keep))
}

fn newest_first(mut manifests: Vec<ManifestFile>) -> Vec<ManifestFile> {
    manifests.sort_by_key(|m| std::cmp::Reverse(m.sequence_number));
    manifests
}
