"""The experiment file of the demo: small enough for two cores and a few minutes."""

EXPERIMENT = """# The experiment of prime demo. Every key that is not here has its default: see prime config.
cohort: cohort/cohort.yaml
store: store
seed: 0

model:
  dim: 48
  queries: 6
  blocks: 2
  experts: 4
  prototypes: 32
  projection_dim: 48

pretrain:
  epochs: 15
  batch_size: 64
  learning_rate: 0.001
  top_k: 4

evaluate:
  modes: [lp_missing, ft_missing]
  fold_count: 5
  bootstrap: 100
  probe:
    components: 16
    missing_heads: shared
  finetune:
    epochs: 8
    batch_size: 32
"""
