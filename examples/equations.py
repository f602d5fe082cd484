"""The index of equations: where each formula of the five documents is in the code, tested and taught.

    python -m examples.equations        the table, as Markdown

A row is an equation as it is right; where the document has it differently, `slip` names the file under examples/slips/
that shows the difference. tests/examples/test_equations.py fails where a function, a test, a lesson or a slip that is
named here does not exist, and where one of documents 1 to 4, or document 0's reinforcement learning, is missing.
"""

from typing import NamedTuple


class Equation(NamedTuple):
    """An equation of a document's section, and what stands for it here."""

    document: int
    section: str
    name: str
    formula: str
    function: str  # dotted, below `tinyart`
    test: str  # file::function, below tests/
    lesson: str
    slip: str = ""


GAN, VAE, CLASSIFIER = "models/test_gan.py::test_", "models/test_vae.py::test_", "models/test_classifier.py::test_"
RL = "models/test_reinforcement.py::test_"

EQUATIONS = (
    Equation(0, "metrics", "accuracy", "accuracy = Σ_k c_kk / Σ_ij c_ij", "models.metrics.accuracy",
             "models/test_metrics.py::test_per_class_figures_equal_their_definitions", "05",
             "doc0_accuracy_is_not_precision"),
    Equation(0, "metrics", "precision", "P = TP/(TP + FP)", "models.metrics.precision",
             "models/test_metrics.py::test_per_class_figures_equal_their_definitions", "05",
             "doc0_accuracy_is_not_precision"),
    Equation(0, "metrics", "recall", "R = TP/(TP + FN)", "models.metrics.recall",
             "models/test_metrics.py::test_per_class_figures_equal_their_definitions", "05"),
    Equation(0, "metrics", "F1", "F1 = (2 P R)/(P + R)", "models.metrics.f1",
             "models/test_metrics.py::test_f1_is_the_harmonic_mean_not_the_average_of_document_0", "05",
             "doc0_accuracy_is_not_precision"),
    Equation(0, "reinforcement learning", "Q-learning", "Q(s, a) ← Q(s, a) + α (r + γ max_b Q(s', b) - Q(s, a))",
             "models.reinforcement.q_target",
             RL + "q_target_takes_the_best_action_and_sarsa_target_the_next_one", "16",
             "doc0_q_learning_has_no_policy_network"),
    Equation(0, "reinforcement learning", "Sarsa", "Q(s, a) ← Q(s, a) + α (r + γ Q(s', a') - Q(s, a))",
             "models.reinforcement.sarsa_target",
             RL + "q_target_takes_the_best_action_and_sarsa_target_the_next_one", "16"),
    Equation(0, "reinforcement learning", "actor-critic (A3C)", "L = -log π(a|s) (R - V(s)) + ½ (R - V(s))² - β H(π)",
             "models.reinforcement.actor_critic_loss", RL + "actor_critic_loss_is_its_formula", "16"),
    Equation(0, "reinforcement learning", "return", "R_t = r_t + γ R_{t+1}", "models.reinforcement.discounted",
             RL + "discounted_begins_anew_after_an_end", "16"),
    Equation(0, "reinforcement learning", "DDPG's target", "y = r + γ Q'(s', μ'(s'))",
             "models.reinforcement.ddpg_target", RL + "ddpg_target_is_its_formula_and_a_constant", "16"),
    Equation(0, "reinforcement learning", "slow copies", "θ' ← (1 - τ) θ' + τ θ", "models.reinforcement.follow",
             RL + "follow_moves_a_share_of_the_way", "16"),
    Equation(1, "3.3.1", "convolutional layer", "y = f(W x + b)", "models.classifier.convolution_matrix",
             CLASSIFIER + "conv2d_is_w_x_plus_b_with_w_the_matrix_of_the_convolution", "04",
             "doc1_convolution_is_no_dense_layer"),
    Equation(1, "3.3.1", "convolution", "y[i, j] = Σ_{a,b} x[i s + a - p, j s + b - p] w[a, b]", "ops.conv2d",
             CLASSIFIER + "the_matrix_of_a_convolution_equals_the_sum_over_the_window", "04"),
    Equation(1, "3.3.2", "value of the game",
             "min_G max_D V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))]", "models.gan.value",
             GAN + "value_is_the_mean_log_of_the_probabilities", "08"),
    Equation(1, "3.3.2", "minimax loss of G", "L_G = log(1 - D(G(z)))", "models.gan.minimax_generator_loss",
             GAN + "generator_losses", "08", "doc1_doc3_two_generator_losses"),
    Equation(1, "3.3.3", "recurrent state", "h_t = f(W x_t + R h_{t-1} + b)", "models.rnn.hidden_state",
             "models/test_rnn.py::test_hidden_state_is_the_documents_equation_for_each_vector", "11"),
    Equation(1, "3.3.3", "output of the recurrent network", "y_t = W₂ h_t + b₂", "models.rnn.output",
             "models/test_rnn.py::test_output_is_the_documents_equation_for_each_vector", "11"),
    Equation(1, "3.2", "music by a recurrent network", "p(v_1 .. v_T) = Π_t p(v_t | v_1 .. v_{t-1})",
             "models.polyphony.step_nats",
             "models/test_polyphony.py::test_step_nats_is_minus_the_log_of_the_product_over_keys", "12"),
    Equation(1, "4.1", "block of the deep generator", "x_{k+1} = BN(max(0, W_k x_k + b_k))",
             "models.deep_stack.deep_stack",
             "models/test_deep_stack.py::test_the_blocks_are_the_documents_and_the_output_is_ours", "09",
             "doc1_generator_without_output"),
    Equation(1, "4.1", "batch normalisation", "y = γ (x - mean)/√(variance + ε) + β", "ops.batch_norm",
             "kernels/test_norm.py::test_batch_norm_is_the_definition", "09"),
    Equation(2, "3.1.3", "D is a probability", "D(x) = σ(a) = 1/(1 + e^(-a))", "ops.sigmoid",
             "core/test_ops.py::test_unary", "08", "doc2_discriminator_is_no_sample"),
    Equation(2, "3.2.3", "encoder", "q(z|x) = N(z; μ(x), σ²(x))", "models.vae.VAE.encode",
             VAE + "encode_and_decode_are_the_layers_in_order", "07", "doc2_elbo_is_a_bound"),
    Equation(2, "3.2.3", "decoder", "p(x|z) = N(x; μ(z), σ²)", "models.vae.gaussian_log_likelihood",
             VAE + "gaussian_log_likelihood_is_the_log_of_the_density", "07"),
    Equation(2, "3.2.3", "decoder of the code", "log p(x|z) = Σ_i x_i log p_i + (1 - x_i) log(1 - p_i)",
             "models.vae.bernoulli_log_likelihood", VAE + "bernoulli_log_likelihood_is_the_log_of_the_product", "07"),
    Equation(2, "3.2.3", "bound", "log p(x) ≥ E_q[log p(x|z)] - KL(q‖p)", "models.vae.negative_elbo",
             VAE + "negative_elbo_is_a_lower_bound_of_log_p", "07", "doc2_elbo_is_a_bound"),
    Equation(2, "4.2.3", "reparameterisation", "z = μ + σ ε,  ε ~ N(0, 1)", "models.vae.reparameterise",
             VAE + "reparameterise_has_mean_mu_and_variance_sigma_squared", "07"),
    Equation(2, "4.2.3", "divergence in closed form", "KL(q‖p) = -½ Σ_j (1 + log σ_j² - μ_j² - σ_j²)",
             "ops.kl_to_standard_normal", VAE + "kl_to_standard_normal_equals_its_definition", "07",
             "doc2_posterior_collapse"),
    Equation(2, "4.1.3", "losses from logits", "-log σ(a) = log(1 + e^(-a))", "models.gan.discriminator_loss",
             GAN + "a_sigmoid_before_the_loss_with_logits_stops_it_above_one", "08", "doc2_sigmoid_twice"),
    Equation(2, "4.1.3", "players' own steps", "θ_D ← θ_D - η ∂L_D/∂θ_D,  θ_G ← θ_G - η ∂L_G/∂θ_G",
             "models.gan.AdversarialTrainer.step", GAN + "each_step_moves_its_own_players_weights", "09",
             "doc2_each_player_its_own_variables"),
    Equation(3, "4.1", "loss of G", "L_G = -log D(G(z))", "models.gan.generator_loss", GAN + "generator_losses", "08",
             "doc1_doc3_two_generator_losses"),
    Equation(3, "4.1", "loss of D", "L_D = -[log D(x) + log(1 - D(G(z)))]", "models.gan.discriminator_loss",
             GAN + "discriminator_loss_is_minus_the_value", "08", "doc3_unbalanced_bracket"),
    Equation(3, "4.2", "best discriminator", "D*(x) = p_data(x)/(p_data(x) + p_g(x))", "models.gan.best_discriminator",
             GAN + "best_discriminator_maximises_the_value", "08", "doc3_derivative_of_the_wrong_thing"),
    Equation(3, "5.2", "generator of the DCGAN", "z → 7×7×256 → 7×7×128 → 14×14×64 → 28×28×1", "models.dcgan.dcgan",
             "models/test_dcgan.py::test_the_documents_generator_gives_28_by_28_not_128_by_128", "09",
             "doc3_output_is_28"),
    Equation(3, "5.2", "transposed convolution", "y = Wᵀ x", "ops.conv_transpose2d",
             "core/test_ops.py::test_transposed_convolution_is_the_transpose", "04"),
    Equation(3, "9.2", "gradient penalty", "P = E[(‖∂f(x̂)/∂x̂‖ - 1)²],  x̂ = u x + (1 - u) G(z)",
             "models.wgan.gradient_penalty",
             "models/test_wgan.py::test_gradient_penalty_has_right_gradients_by_the_critics_weights", "10"),
    Equation(3, "9.2", "clipping", "g ← g · min(1, c/‖g‖)", "optim.clip_grad_norm",
             "test_optim.py::test_clip_norm_is_exact", "10", "doc3_clipping_does_not_cure_vanishing"),
    Equation(4, "3.1.1", "forward pass", "h = f(x W + b)", "nn.Dense",
             "nn/test_torch.py::test_dense", "03"),
    Equation(4, "3.1.2", "mean squared error", "MSE = 1/N Σ_n (ŷ_n - y_n)²", "ops.mse_loss",
             "core/test_ops.py::test_pytorch_agrees_at_order_2", "03"),
    Equation(4, "3.1.2", "cross-entropy", "CE = -[y log p + (1 - y) log(1 - p)]", "ops.bce_with_logits",
             "core/test_ops.py::test_pytorch_agrees_at_order_2", "03"),
    Equation(4, "3.1.2", "cross-entropy of classes", "L = -log p_label,  p_k = e^(y_k)/Σ_j e^(y_j)",
             "ops.cross_entropy",
             "core/test_ops.py::test_softmax_family_against_scipy", "05"),
    Equation(4, "3.1.3", "backpropagation", "x̄ = J_fᵀ ȳ", "graph.grad",
             "core/test_graph.py::test_second_and_third_derivatives", "01"),
    Equation(4, "3.1.3", "second derivatives", "H v = ∂/∂w ⟨∂L/∂w, v⟩", "graph.grad",
             "core/test_graph.py::test_second_and_third_derivatives", "02"),
    Equation(4, "3.2.1", "pooling", "y[i, j] = max_{a,b < k} x[i k + a, j k + b]", "ops.max_pool2d",
             "kernels/test_pool.py::test_max_pool_and_its_gradients_are_loops_over_the_windows", "05"),
    Equation(4, "3.2.2", "LSTM", "c_t = f c_{t-1} + i g,  h_t = o tanh(c_t)", "ops.lstm",
             "kernels/test_recurrent.py::test_the_reference_against_loops_over_numbers", "11"),
    Equation(4, "3.2.2", "GRU", "h_t = (1 - z) n + z h_{t-1}", "ops.gru",
             "kernels/test_recurrent.py::test_the_reference_against_loops_over_numbers", "11"),
    Equation(4, "3.2.3", "autoencoder", "L = 1/P Σ_i (x_i - x̂_i)²,  x̂ = g(f(x))", "models.autoencoder.squared_error",
             "models/test_autoencoder.py::test_squared_error_is_the_mean_over_pixels_and_images", "06"),
    Equation(4, "3.3.1", "bag of words", "x_w = how often word w occurs", "models.bayes.bag_of_words",
             "models/test_bayes.py::test_bag_of_words_counts_and_forgets_the_order", "13",
             "doc4_bag_of_words_is_no_embedding"),
    Equation(4, "3.3.1", "naive Bayes", "log P(k|x) = log P(k) + Σ_w x_w log P(w|k) + constant",
             "models.bayes.log_posterior",
             "models/test_bayes.py::test_fit_and_posterior_are_bayes_rule_with_laplace_smoothing", "13",
             "doc4_bag_of_words_is_no_embedding"),
    Equation(4, "3.3.1", "word2vec", "L = -log σ(u_c·v_w) - Σ_{i ≤ k} log σ(-u_i·v_w)",
             "models.word2vec.negative_sampling_loss", "models/test_word2vec.py::test_loss_is_equation_4", "13",
             "doc4_bag_of_words_is_no_embedding"),
    Equation(4, "3.3.2", "semantic roles", "p(tag_t | w_1 .. w_T) = softmax(W [h→_t, h←_t] + b)",
             "models.tagger.TaggerTrainer",
             "models/test_tagger.py::test_two_directions_learn_every_role_and_one_cannot", "13"),
    Equation(4, "3.3.3", "attention: scores", "e_tj = vᵀ tanh(W s_{t-1} + U h_j)", "models.seq2seq.additive_scores",
             "models/test_seq2seq.py::test_additive_scores_are_bahdanaus", "13"),
    Equation(4, "3.3.3", "attention: weights", "a_tj = e^(e_tj)/Σ_k e^(e_tk)", "models.seq2seq.attention",
             "models/test_seq2seq.py::test_attention_is_a_distribution_over_what_is_inside", "13"),
    Equation(4, "3.3.3", "attention: context", "c_t = Σ_j a_tj h_j", "models.seq2seq.context",
             "models/test_seq2seq.py::test_context_is_the_mean_of_states_that_attention_weighs", "13"),
    Equation(4, "3.3.3", "seq2seq", "p(y_1 .. y_T | x) = Π_t p(y_t | y_1 .. y_{t-1}, x)",
             "models.seq2seq.TranslatorTrainer",
             "models/test_seq2seq.py::test_attention_learns_to_reverse_and_its_map_is_the_other_diagonal", "13"),
    Equation(3, "3.1", "text by a recurrent network", "p(c_1 .. c_T) = Π_t p(c_t | c_1 .. c_{t-1})",
             "models.char_rnn.CharTrainer",
             "models/test_char_rnn.py::test_the_loss_is_minus_the_log_of_the_texts_probability", "13"),
    Equation(4, "4.1.3", "critic's objective", "max_f E_x[f(x)] - E_z[f(G(z))]", "models.wgan.critic_value",
             "models/test_wgan.py::test_critic_value_is_the_difference_of_the_means", "10",
             "doc4_loss_that_does_not_train"),
)


def markdown() -> str:
    """The index as a table."""
    rows = ["| document | equation | | function | test | lesson | slip |", "| --- " * 7 + "|"]
    for e in EQUATIONS:
        rows.append(f"| {e.document}, {e.section} | {e.name} | {e.formula.replace('|', '&#124;')} | `{e.function}` | "
                    f"`{e.test}` | {e.lesson} | {e.slip} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(markdown())
