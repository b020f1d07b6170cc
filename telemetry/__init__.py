"""Boundary types, the schema and the store: everything known about an asset is a series of readings.

- Types that cross rooms: batch, quality, plant, errors; plant_store and catalogue read them.
- Writing: store (readings), waveform_store with waveforms and samples, ledger, journal with snapshot; ordering.
- The database: database (connections), schema with migrations, sql (named queries), copy_rows (rows as columns).
- Editions: editions finds out which one, edition says what each does, plain and timescale do it; series, retention.
- Rollups: rollups, rollup_keeping, refresh.
- Asking: ranges, buckets, resolution, trend with gaps and drawing, latest, alignment.
- Files: arrow, arrow_columns, reading_files, waveform_files.
- Moving: upgrade with inventory, copying and attendance; in_place with aggregates.
"""
