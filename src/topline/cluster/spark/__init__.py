"""The models as one batch on Apache Spark: topics up to fixed ends in, changed rows of the result tables out."""
