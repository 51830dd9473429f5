/* The one parametrised Transformer: assembled from options; a preset (gpt2, llama, ...) is option values and a table of
 * Hugging Face names, nothing else. In place of its blocks there may be an LSTM, or an MLP over a window.
 */
#ifndef INS_MODEL_MODEL_H
#define INS_MODEL_MODEL_H

#include "graph/graph.h"
#include "tensor/params.h"

typedef enum ins_norm_kind { INS_NORM_LAYER, INS_NORM_RMS } ins_norm_kind;
typedef enum ins_norm_place { INS_PLACE_PRE, INS_PLACE_POST, INS_PLACE_SANDWICH } ins_norm_place;
typedef enum ins_position_kind { INS_POS_NONE, INS_POS_LEARNED, INS_POS_ROPE, INS_POS_SINUSOIDAL } ins_position_kind;
typedef enum ins_mlp_kind {
    INS_MLP_GELU_TANH,
    INS_MLP_GELU_ERF,
    INS_MLP_RELU,
    INS_MLP_RELU2,
    INS_MLP_SILU,
    INS_MLP_SWIGLU,
    INS_MLP_GEGLU
} ins_mlp_kind;
typedef enum ins_encoder_kind { INS_ENCODER_TRANSFORMER, INS_ENCODER_LSTM, INS_ENCODER_MLP } ins_encoder_kind;
typedef enum ins_merge_kind { INS_MERGE_CONCAT, INS_MERGE_SUM } ins_merge_kind;
typedef enum ins_activation_kind {
    INS_ACTIVATION_TANH,
    INS_ACTIVATION_RELU,
    INS_ACTIVATION_GELU_TANH,
    INS_ACTIVATION_GELU_ERF,
    INS_ACTIVATION_SILU
} ins_activation_kind;
typedef enum ins_attention_kind { INS_ATTEND_CAUSAL, INS_ATTEND_FULL } ins_attention_kind;

/* Written by option rows (ins_model_table, in src/model/model_options.c). 0 = derived, for the sizes that say so. */
typedef struct ins_model_options {
    ins_opt_component preset; /* family preset: default values of all that follows */
    int64_t layers;           /* the one dial */
    int64_t width;            /* 0: derived from layers */
    int64_t heads;            /* 0: derived from width */
    int64_t kv_heads;         /* 0: heads */
    int64_t head_size;        /* 0: width / heads */
    int64_t ff;               /* 0: 4 width, or 8/3 width rounded up to 32 for gated MLPs */
    int64_t vocab;            /* 0: the tokenizer's */
    int64_t max_positions;    /* context length the model is made for */
    int norm, norm_place;
    double norm_eps;
    bool norm_bias; /* layernorm only */
    bool final_norm;
    int positions;
    double rope_theta, rotary_share; /* share of the head size that rotates */
    bool rope_interleaved;
    bool qk_norm;   /* RMSNorm on each head of q and k before RoPE */
    bool qkv_fused; /* one weight [D, (H + 2 Hkv) K] */
    bool qkv_bias, out_bias, mlp_bias;
    int mlp;
    bool tied;          /* head = token embedding */
    bool in_out;        /* linear weights stored [in, out] (GPT-2's Conv1D) */
    bool parallel;      /* attention and MLP read the same norm (GPT-J, NeoX) */
    int attention;      /* causal (decoder) or full (encoder) */
    double embed_scale; /* multiplies token embeddings; 1 = none */
    double dropout;     /* residual, embedding and attention-output dropout */
    double init_std;
    bool init_residual_scaled; /* std / sqrt(2 layers) for the two projections into the residual (GPT-2) */
    int encoder;
    int64_t hidden;     /* LSTM, MLP: size of a layer; 0: derived */
    double forget_bias; /* LSTM: 0 = drawn as the other biases */
    int64_t window;     /* MLP: tokens that it sees */
    int merge, activation;
} ins_model_options;
extern const ins_opt_table ins_model_table;

/* A preset: text of option values (YAML map) laid under the user's, and the names. */
typedef struct ins_tensor_name {
    const char *ours;   /* "layers.{}.attn.q.weight" */
    const char *theirs; /* "model.layers.{}.self_attn.q_proj.weight" */
} ins_tensor_name;
typedef struct ins_config_key {
    const char *key;    /* in config.json; "rope_parameters.rope_theta" is a key of a nested object */
    const char *option; /* our option row's name, or NULL for a fixed value */
    const char *fixed;  /* JSON text to write / require when option is NULL; both NULL removes the base's row */
    const char *value;  /* with option and fixed: the option has this value where the key has `fixed`. Several rows may
                         * share a key: activation_function "gelu_new" = mlp: gelu_tanh, "gelu" = mlp: gelu_erf */
    unsigned flags;     /* INS_CONFIG_* */
} ins_config_key;
enum {
    INS_CONFIG_REQUIRED = 1,   /* reading fails without it */
    INS_CONFIG_WRITE_ONLY = 2, /* not looked at when reading */
    INS_CONFIG_READ_ONLY = 4,  /* checked or taken when present, never written */
};
typedef struct ins_preset {
    ins_component head;             /* family "preset" */
    const char *base;               /* another preset whose tables and values lie under this one's, or NULL */
    const char *values;             /* "norm: rmsnorm\nqkv_bias: true\n" */
    const char *model_type;         /* config.json model_type; NULL = the base's */
    const char *architecture;       /* "LlamaForCausalLM"; NULL = the base's */
    const ins_tensor_name *tensors; /* ended by ours NULL; looked up before the base's */
    const ins_config_key *config;   /* ended by key NULL; a key here replaces the base's rows of that key */
    const char *prefix;             /* files may leave this prefix of tensor names out ("transformer."), or NULL */
    const char *const *ignored; /* endings of tensor names that old files hold and nobody needs; NULL-ended, or NULL */
} ins_preset;
extern const ins_family ins_family_preset;

typedef struct ins_model ins_model;

/* Parse a recipe's `model:` node: preset values underneath, the user's on top, then the one dial fills what is 0.
 * vocab: the tokenizer's size, used where the options leave it 0. Errors into diag with positions. */
bool ins_model_options_parse(const ins_node *node, int64_t vocab, ins_model_options *out, ins_arena *arena,
                             ins_diag *diag);

/* Cross-checked model: parameter table in a fixed order. INS_RECIPE for impossible sizes. */
ins_status ins_model_new(const ins_model_options *options, ins_model **out, ins_error *err);
void ins_model_free(ins_model *m);
const ins_model_options *ins_model_get_options(const ins_model *m); /* fully resolved */
const ins_params *ins_model_params(const ins_model *m);
/* Size of the hidden state that the output layer reads: the last dimension of ins_model_values.hidden. */
int64_t ins_model_hidden_size(const ins_model *m);
/* Published initialisation of the preset, from (seed, parameter name): independent of order and threads. */
ins_status ins_model_init(const ins_model *m, uint64_t seed, float *slab, ins_pool *pool, ins_error *err);
double ins_model_flops_per_token(const ins_model *m,
                                 int64_t context); /* forward, matmul + attention; x3 for training */

/* Build into a graph. All i32: ids, positions, lo, hi are [B, T]; rng_key [4] (INS_NO_VALUE when dropout is 0). */
typedef struct ins_model_inputs {
    ins_value ids, positions, lo, hi, rng_key;
} ins_model_inputs;
typedef struct ins_model_values {
    ins_value hidden; /* [B, T, D] after the final norm, compute dtype; D is ins_model_hidden_size */
    ins_value head;   /* head weight: [V, D] (leaf, real dtype) */
    bool head_in_out;
} ins_model_values;
/* Declares every parameter as a graph parameter under its Hugging Face name; taps: "embed", "layers.N.attn",
 * "layers.N.mlp", "layers.N.out", "final". */
ins_status ins_model_build(const ins_model *m, ins_graph *g, const ins_model_inputs *in, ins_model_values *out,
                           ins_error *err);
/* logits f32 [rows, V] of hidden [rows, D]. */
ins_value ins_model_logits(const ins_model *m, ins_graph *g, const ins_model_values *v, ins_value hidden_rows);

/* Hugging Face folder: config.json + model.safetensors (tokenizer files are the caller's). Strict: every tensor used,
 * none missing, shapes equal; all problems listed in one error. */
ins_status ins_model_save(const ins_model *m, const float *slab, const char *dir, const char *const *metadata,
                          int64_t n_meta, ins_error *err);
ins_status ins_model_load(const char *dir, ins_model **out, float **slab, ins_error *err); /* slab: ins_slab_free */

/* Bind every parameter of the model in the executor to its row of the slab (f32 graphs). */
ins_status ins_model_bind(const ins_model *m, ins_exec *exec, float *slab, ins_error *err);

/* precision: auto | f32 | bf16 -> compute dtype; *why gets a sentence ("bf16: AVX-512 bf16 measured 1.9x f32"). */
typedef enum ins_precision { INS_PRECISION_AUTO, INS_PRECISION_F32, INS_PRECISION_BF16 } ins_precision;
ins_status ins_precision_choose(ins_precision asked, ins_dtype *compute, char why[160], ins_error *err);

#endif
