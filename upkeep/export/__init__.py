"""The whole data set as files for analysis: every table, and views with last known values carried forward."""
