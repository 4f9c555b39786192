# Makes cases.json: small simulated inputs with 17 digits, and what R gives for them. Run here: Rscript make.R
# Made with R 4.2.2; afex 1.2.1, car 3.1.1, lme4 1.1.31, lmerTest 3.1.3, psych 2.2.9, epiR 2.0.57, clubSandwich 0.5.8
# (Debian 12: r-base-core, r-cran-afex, r-cran-lmertest, r-cran-psych, r-cran-epir, r-cran-clubsandwich).
suppressPackageStartupMessages({library(afex); library(car); library(lme4); library(lmerTest); library(psych); library(epiR); library(clubSandwich)})
options(warn = -1)
set.seed(20261125)

# ---- JSON: the shortest text that reads back as the same number; null is missing or undefined ----
num <- function(x) {
  if (is.na(x) || is.infinite(x)) return("null")
  for (digits in 15:17) { s <- sprintf(paste0("%.", digits, "g"), x); if (as.numeric(s) == x) break }
  s
}
scalar <- function(v) if (is.character(v)) sprintf("\"%s\"", v) else if (is.logical(v) && !is.na(v)) tolower(v) else num(as.numeric(v))
js <- function(x) {
  if (is.null(x)) return("null")
  if (is.matrix(x)) return(paste0("[", paste(apply(x, 1, function(r) js(I(unname(r)))), collapse = ", "), "]"))
  if (is.factor(x)) x <- I(as.character(x))
  if (is.list(x)) {
    v <- vapply(x, js, "")
    if (is.null(names(x))) return(paste0("[", paste(v, collapse = ", "), "]"))
    return(paste0("{", paste(sprintf("\"%s\": %s", names(x), v), collapse = ", "), "}"))
  }
  v <- vapply(seq_along(x), function(i) scalar(unclass(x)[i]), "")
  if (length(x) == 1 && !inherits(x, "AsIs")) v else paste0("[", paste(v, collapse = ", "), "]")
}
CASES <- list()
add <- function(kind, name, source, input, expected) {
  CASES[[length(CASES) + 1]] <<- list(kind = kind, name = name, source = source, input = input, expected = expected)
}
quiet <- function(e) suppressMessages(suppressWarnings(e))

# ---- repeated measures: Y is subjects x cells, the last factor runs fastest ----
long <- function(Y, levels) {
  g <- rev(expand.grid(rev(levels), stringsAsFactors = FALSE))
  d <- do.call(rbind, lapply(seq_len(nrow(g)), function(j) data.frame(id = seq_len(nrow(Y)), g[rep(j, nrow(Y)), , drop = FALSE], y = Y[, j], row.names = NULL)))
  for (f in names(levels)) d[[f]] <- factor(d[[f]], levels[[f]])
  d$id <- factor(d$id)
  d
}
helmert <- function(k) { H <- contr.helmert(k); sweep(H, 2, sqrt(colSums(H^2)), "/") }
contrasts_of <- function(effect, levels) {
  T <- matrix(1)
  for (f in names(levels)) { k <- length(levels[[f]]); T <- kronecker(T, if (f %in% effect) helmert(k) else matrix(1 / sqrt(k), k, 1)) }
  T
}
mauchly <- function(ev, n, cells) {       # formula of stats:::mauchly.test.SSD and car
  d <- length(ev); f <- n - 1
  if (d < 2 || n <= d) return(c(NA, NA))
  logW <- sum(log(ev)) - d * log(sum(ev) / d); rho <- 1 - (2 * d^2 + d + 2) / (6 * d * f); df <- d * (d + 1) / 2 - 1; z <- -f * rho * logW
  w2 <- (d + 2) * (d - 1) * (d - 2) * (2 * d^3 + 6 * d^2 + 3 * cells + 2) / (288 * (f * d * rho)^2); p1 <- pchisq(z, df, lower.tail = FALSE)
  c(exp(logW), p1 + w2 * (pchisq(z, df + 4, lower.tail = FALSE) - p1))
}
anova_case <- function(name, Y, levels) {
  whole <- complete.cases(Y); Z <- Y[whole, , drop = FALSE]; n <- nrow(Z); cells <- ncol(Z); d <- long(Z, levels); factors <- names(levels)
  effects <- unlist(lapply(seq_along(factors), function(k) combn(factors, k, simplify = FALSE)), recursive = FALSE)
  by_car <- n > cells                       # car refuses a singular error matrix: then stats::aov, and epsilons by eigenvalues
  if (by_car) {
    m <- quiet(aov_ez("id", "y", d, within = factors)); S <- quiet(summary(m)); sizes <- quiet(anova(m, correction = "none", es = c("ges", "pes")))
  } else strata <- quiet(summary(aov(as.formula(paste("y ~", paste(factors, collapse = "*"), "+ Error(id/(", paste(factors, collapse = "*"), "))")), d)))
  rows <- lapply(effects, function(e) {
    nm <- paste(e, collapse = ":"); T <- contrasts_of(e, levels); k <- ncol(T); ev <- eigen(cov(Z %*% T), symmetric = TRUE, only.values = TRUE)$values
    gg <- sum(ev)^2 / (k * sum(ev^2)); hf <- (n * k * gg - 2) / (k * (n - 1 - k * gg)); W <- mauchly(ev, n, cells)
    if (by_car) {
      u <- S$univariate.tests[nm, ]; ss <- u[["Sum Sq"]]; error <- u[["Error SS"]]; F <- u[["F value"]]; ges <- sizes[nm, "ges"]; pes <- sizes[nm, "pes"]
      if (k > 1) { gg <- S$pval.adjustments[nm, "GG eps"]; hf <- S$pval.adjustments[nm, "HF eps"]; W <- S$sphericity.tests[nm, 1:2] }
    } else {
      for (s in strata) { t <- s[[1]]; i <- which(trimws(rownames(t)) == nm); if (length(i)) u <- t[c(i, nrow(t)), ] }
      ss <- u[1, "Sum Sq"]; error <- u[2, "Sum Sq"]; F <- u[1, "F value"]; pes <- ss / (ss + error); ges <- NA
    }
    if (k == 1) gg <- hf <- 1
    hf <- min(1, hf); df2 <- k * (n - 1); tail <- function(eps, log = FALSE) pf(F, k * eps, df2 * eps, lower.tail = FALSE, log.p = log)
    list(effect = nm, ss_effect = ss, ss_error = error, df1 = k, df2 = df2, F = F, p = tail(1), log_p = tail(1, TRUE), epsilon_gg = gg, p_gg = tail(gg), epsilon_hf = hf, p_hf = tail(hf),
      mauchly_w = W[[1]], mauchly_p = W[[2]], eta_sq_generalised = ges, eta_sq_partial = pes)
  })
  if (!by_car) {
    rest <- cells * sum((rowMeans(Z) - mean(Z))^2) + sum(sapply(rows, function(r) r$ss_error))
    rows <- lapply(rows, function(r) { r$eta_sq_generalised <- r$ss_effect / (r$ss_effect + rest); r })
  }
  add("rm_anova", name, if (by_car) "afex::aov_ez with car::Anova" else "stats::aov with Error(); epsilons and Mauchly by car's formulas", list(levels = lapply(levels, I), values = Y), list(n = n, dropped = I(which(!whole) - 1), effects = rows))
}
scores <- function(n, k, digits = 4) {
  b <- rnorm(n, 0, .6)
  round(sapply(1:k, function(j) plogis(2.4 + runif(1, 0, .5) + b * runif(1, .5, 1.2) + rnorm(n, 0, runif(1, .1, .6)))), digits)
}
strategy <- c("pure", "mixed"); three <- c("pure", "mixed", "inverted"); amount <- c("40", "80", "120"); subset <- c("A", "B")
anova_case("2x2x3_n13_one_more_than_cells", scores(13, 12), list(strategy = strategy, subset = subset, amount = amount))
anova_case("2x2x3_n4", scores(4, 12), list(strategy = strategy, subset = subset, amount = amount))
anova_case("3x3x2_n30", scores(30, 18), list(strategy = three, amount = amount, subset = subset))
anova_case("3x3x2_n9_fewer_than_cells", scores(9, 18), list(strategy = three, amount = amount, subset = subset))
Y <- scores(12, 12); for (j in 1:12) if (j %% 4 == 0) Y[j, j] <- NA
anova_case("2x2x3_n12_three_incomplete", Y, list(strategy = strategy, subset = subset, amount = amount))
Y <- scores(14, 6); for (j in 1:6) Y[j + 3, j] <- NA
anova_case("2x3_staggered_gaps", Y, list(strategy = strategy, amount = amount))
anova_case("six_arms_n6", scores(6, 6), list(arm = c("a", "b", "c", "d", "e", "f")))
anova_case("twelve_arms_n13", scores(13, 12), list(arm = letters[1:12]))
Y <- matrix(rnorm(120, .5, .01), 40, 3) + c(0, .3, .31)[col(matrix(0, 40, 3))]
anova_case("p_of_1e_minus_100_and_less", round(Y, 6), list(arm = c("a", "b", "c")))
anova_case("volumes_far_from_zero", round(scores(20, 3) * 100 + 1e5, 2), list(arm = c("a", "b", "c")))

# ---- paired comparisons ----
pairs_case <- function(name, Y) {
  levels <- letters[seq_len(ncol(Y))]; q <- combn(ncol(Y), 2, simplify = FALSE)
  adjusted <- function(p) lapply(setNames(nm = c("holm", "bonferroni", "BH")), function(m) I(p.adjust(p, m)))
  t <- lapply(q, function(i) {
    r <- t.test(Y[, i[1]], Y[, i[2]], paired = TRUE); d <- Y[, i[1]] - Y[, i[2]]
    list(mean_difference = mean(d), ci_low = r$conf.int[1], ci_high = r$conf.int[2], statistic = unname(r$statistic), df = unname(r$parameter), p = r$p.value, cohen_dz = mean(d) / sd(d))
  })
  w <- lapply(q, function(i) { r <- wilcox.test(round(Y[, i[1]] - Y[, i[2]], 9)); list(statistic = unname(r$statistic), p = r$p.value, exact = grepl("exact", r$method)) })
  p <- function(rows) sapply(rows, function(r) r$p)
  add("pairwise", name, "stats::t.test, wilcox.test on differences rounded to 9 decimals, p.adjust", list(levels = I(levels), values = Y), list(t = t, t_adjusted = adjusted(p(t)), wilcoxon = w, wilcoxon_adjusted = adjusted(p(w))))
}
for (n in c(3, 4, 6, 9, 49, 50)) pairs_case(sprintf("n%d_without_ties", n), scores(n, 3, 9))
for (n in c(5, 7, 12, 60)) { Y <- scores(n, 3, 2); Y[1:2, 2] <- Y[1:2, 1]; pairs_case(sprintf("n%d_with_zeros_and_ties", n), Y) }
b <- rnorm(60); pairs_case("t_of_hundreds", round(cbind(b, b + 2 + rnorm(60, 0, .01), b + 4 + rnorm(60, 0, .02)), 6))

# ---- means of values in clusters ----
mean_of <- function(v, cluster) {
  if (is.null(cluster)) return(list(est = mean(v), se = sd(v) / sqrt(length(v)), df = length(v) - 1))
  l <- lm(v ~ 1); t <- coef_test(l, vcov = "CR2", cluster = cluster, test = "Satterthwaite")
  list(est = unname(coef(l)), se = t$SE, df = if (is.null(t$df_Satt)) t$df else t$df_Satt)
}
above <- function(m, bound) pt((m$est - bound) / m$se, m$df, lower.tail = FALSE)
below <- function(m, bound) pt((m$est - bound) / m$se, m$df)
agreement_case <- function(name, x, y, margin, cluster = NULL) {
  d <- y - x; n <- length(d); s <- sd(d); z <- qnorm(.975); m <- mean_of(d, cluster); a <- mean_of(abs(d), cluster); r <- cor.test(x, y); icc <- quiet(psych::ICC(cbind(x, y), lmer = FALSE))$results$ICC
  e <- list(n = n, mean_difference = m$est, sd_difference = s, ci_low = m$est - qt(.975, m$df) * m$se, ci_high = m$est + qt(.975, m$df) * m$se, mean_absolute_difference = a$est, loa_low = mean(d) - z * s, loa_high = mean(d) + z * s, pearson_r = unname(r$estimate),
    icc_a1 = icc[2], icc_c1 = icc[3], lin_ccc = epi.ccc(x, y)$rho.c$est, p_tost = max(above(m, -margin), below(m, margin)), p_below_margin = below(a, margin))
  if (is.null(cluster)) { q <- qt(c(.025, .975), n - 1, ncp = z * sqrt(n)) / sqrt(n); e <- c(e, list(loa_high_ci_low = mean(d) + s * q[1], loa_high_ci_high = mean(d) + s * q[2], loa_low_ci_low = mean(d) - s * q[2], loa_low_ci_high = mean(d) - s * q[1])) }
  if (is.null(cluster) && n > 3 && 1 - abs(r$estimate) > 1e-14) e <- c(e, list(r_ci_low = r$conf.int[1], r_ci_high = r$conf.int[2]))
  add("agreement", name, "stats::t.test, cor.test, qt with ncp, psych::ICC, epiR::epi.ccc, clubSandwich CR2 with Satterthwaite", list(reference = x, predicted = y, margin = margin, cluster = cluster), e)
}
for (n in c(3:6, 10, 40)) { x <- round(exp(rnorm(n, 5, .3)), 2); agreement_case(sprintf("n%d", n), x, round(x * 1.01 + rnorm(n, 0, 4), 2), 5) }
x <- c(81, 118, 95, 132, 104, 77, 121, 99); agreement_case("every_sum_the_same", x, 220 - x, 30)
noninferiority_case <- function(name, d, margin, cluster = NULL) {
  m <- mean_of(d, cluster); p <- above(m, -margin)
  add("noninferiority", name, "stats::t.test, clubSandwich CR2 with Satterthwaite", list(difference = d, margin = margin, cluster = cluster),
    list(estimate = m$est, se = m$se, df = m$df, ci_low = m$est - qt(.975, m$df) * m$se, ci_high = m$est + qt(.975, m$df) * m$se, lower = m$est - qt(.95, m$df) * m$se, statistic = (m$est + margin) / m$se, p = p, p_tost = max(p, below(m, margin))))
}
for (n in c(3, 5, 30)) noninferiority_case(sprintf("n%d", n), round(rnorm(n, -.005, .02), 4), .01)
noninferiority_case("p_of_1e_minus_60_and_less", round(rnorm(40, 5, .3), 4), 1)
for (size in list(c(20, 1, 1, 1, 2, 2), c(1, 2, 2, 1, 2, 1, 2, 2), c(5, 1, 3, 2))) {
  cluster <- rep(seq_along(size), size); n <- length(cluster); b <- rnorm(length(size)); x <- round(rnorm(n, 100, 10), 2); d <- round(b[cluster] + rnorm(n), 2); o <- sample(n); name <- paste(size, collapse = "_")
  noninferiority_case(paste0("clusters_of_", name), d[o], 1, I(cluster[o])); agreement_case(paste0("clusters_of_", name), x[o], (x + d)[o], 2, I(cluster[o]))
}

# ---- bootstrap: every way to draw G of G clusters, with its multinomial probability ----
draws <- function(n) { out <- list(); grow <- function(head, left, k) if (k == 1) out[[length(out) + 1]] <<- c(head, left) else for (i in 0:left) grow(c(head, i), left - i, k - 1); grow(integer(0), n, n); do.call(rbind, out) }
bootstrap_case <- function(name, x, cluster = NULL, statistic = "mean", level = .95) {
  g <- if (is.null(cluster)) seq_along(x) else as.integer(factor(cluster, unique(cluster))); G <- max(g); M <- draws(G); w <- exp(lfactorial(G) - rowSums(lfactorial(M)) - G * log(G)); f <- get(statistic)
  r <- apply(M, 1, function(k) f(rep(x, k[g]))); jack <- sapply(1:G, function(i) f(x[g != i])); L <- mean(jack) - jack; a <- if (sum(L^2) > 1e-24) sum(L^3) / (6 * sum(L^2)^1.5) else 0
  quantile1 <- function(p) { o <- order(r); r[o][which(cumsum(w[o]) >= p - 1e-12)[1]] }; near <- round(r, 11); centre <- round(f(x), 11)
  z0 <- qnorm((sum(w[near < centre]) + sum(w[near <= centre])) / 2); z <- z0 + qnorm(c((1 - level) / 2, (1 + level) / 2))
  add("bootstrap_ci", name, "all resamples enumerated; BCa counts half of the ties with the estimate", list(values = x, cluster = cluster, statistic = statistic, level = level), list(estimate = f(x), percentile = I(sapply(c((1 - level) / 2, (1 + level) / 2), quantile1)), bca = I(sapply(pnorm(z0 + z / (1 - a * z)), quantile1))))
}
for (n in c(3, 4, 6, 8)) for (s in c("mean", "median")) bootstrap_case(sprintf("n%d_%s", n, s), round(plogis(rnorm(n, 2.5, .8)), 3), NULL, s, if (n == 4) .9 else .95)
bootstrap_case("ties", c(.9, .9, .9, .8, .95, .95)); bootstrap_case("ties_median", c(.9, .9, .9, .8, .95, .95), NULL, "median")
for (s in c("mean", "median")) bootstrap_case(paste0("clusters_", s), round(plogis(rnorm(11, 2.5, .8)), 3), I(c(1, 1, 2, 3, 3, 3, 4, 5, 5, 6, 6)), s)

# ---- mixed models: y in the order of the table; factors are coded by order of appearance ----
mixed_case <- function(name, d, formula, fixed, unit) {
  m <- quiet(lmer(formula, d, control = lmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 2e5, rhoend = 1e-12), check.conv.singular = "ignore"))); cf <- summary(m)$coefficients; v <- as.data.frame(VarCorr(m))
  add("mixed_model", name, "lmerTest::lmer, REML, bobyqa", list(table = lapply(as.list(d[setdiff(names(d), "pu")]), I), fixed = I(fixed), unit = if (unit) "kidney" else NULL),
    list(estimate = I(unname(cf[, 1])), se = I(unname(cf[, 2])), df = I(unname(cf[, 3])), p = I(unname(cf[, 5])), variances = c(list(patient = v$vcov[v$grp == "patient"]), if (unit) list(unit = v$vcov[v$grp == "pu"]), list(residual = v$vcov[v$grp == "Residual"])), log_likelihood = as.numeric(logLik(m)), singular = isSingular(m), n_rows = nobs(m)))
}
kidneys <- function(patients, of_patient, of_unit) {
  d <- expand.grid(arm = c("pure", "mix40", "mix80"), kidney = c("left", "right"), patient = sprintf("P%02d", 1:patients), stringsAsFactors = FALSE); d$age <- round(rep(rnorm(patients, 60, 10), each = 6), 1) + .05
  d$y <- 3 + rep(rnorm(patients, 0, of_patient), each = 6) + rep(rnorm(2 * patients, 0, of_unit), each = 3) + .2 * (d$arm != "pure") - .1 * (d$kidney == "right") + .01 * d$age + rnorm(nrow(d), 0, .3)
  d <- d[-sample(nrow(d), nrow(d) %/% 8), ]; d <- d[sample(nrow(d)), ]; d$y <- round(d$y, 3); d$pu <- paste(d$patient, d$kidney)
  d$arm <- factor(d$arm, unique(d$arm)); d$kidney <- factor(d$kidney, unique(d$kidney)); d
}
d <- kidneys(20, 1, .5); mixed_case("nested_with_interaction", d, y ~ arm * kidney + (1 | patient) + (1 | pu), c("arm", "kidney", "arm:kidney"), TRUE); mixed_case("nested_with_covariate", d, y ~ arm + age + (1 | patient) + (1 | pu), c("arm", "age"), TRUE)
d <- kidneys(12, 0, 0); mixed_case("both_variances_at_the_boundary", d, y ~ arm + (1 | patient) + (1 | pu), "arm", TRUE); mixed_case("slopes_by_arm", d, y ~ arm * age + (1 | patient), c("arm", "age", "arm:age"), FALSE)
d <- kidneys(5, .3, .5); mixed_case("five_patients", d, y ~ arm + (1 | patient) + (1 | pu), "arm", TRUE); mixed_case("five_patients_mean_alone", d, y ~ 1 + (1 | patient), character(0), FALSE)

# ---- localisation, size, learning curves, power, families ----
localisation_case <- function(name, H) {
  n <- nrow(H); k <- ncol(H); L <- rowSums(H); C <- colSums(H); Q <- (k - 1) * (k * sum(C^2) - sum(C)^2) / (k * sum(L) - sum(L^2)); ci <- t(sapply(C, function(c) prop.test(c, n, correct = FALSE)$conf.int[1:2]))
  pairs <- lapply(combn(k, 2, simplify = FALSE), function(i) {
    a <- sum(H[, i[1]] > H[, i[2]]); b <- sum(H[, i[1]] < H[, i[2]]); m <- mcnemar.test(table(factor(H[, i[1]], 0:1), factor(H[, i[2]], 0:1)), correct = FALSE)
    list(only_a = a, only_b = b, statistic = unname(m$statistic), p_chi2 = m$p.value, p = if (a + b) binom.test(a, a + b)$p.value else NA)
  })
  add("localisation", name, "stats::prop.test, mcnemar.test, binom.test; Cochran's Q by its formula", list(levels = I(letters[1:k]), hits = H), list(k = I(unname(C)), low = I(ci[, 1]), high = I(ci[, 2]), mcnemar = pairs, p_corrected = I(p.adjust(sapply(pairs, function(o) o$p), "holm")), q = Q, q_p = pchisq(Q, k - 1, lower.tail = FALSE)))
}
e <- rnorm(40); localisation_case("n40", sapply(c(-.5, 0, .6), function(t) as.integer(e + rnorm(40) > t))); localisation_case("all_none_half", cbind(rep(1L, 20), rep(0L, 20), rep(1:0, 10))); localisation_case("two_arms_alike", cbind(rep(1:0, 5), rep(1:0, 5), rep(1L, 10)))
size_case <- function(name, v, s) {
  n <- length(v); r <- cor.test(log(v), s); rho <- cor(v, s, method = "spearman"); small <- s[v < median(v)]; large <- s[v >= median(v)]; w <- t.test(large, small); u <- wilcox.test(large, small); exact <- n <= 9 && !anyDuplicated(v) && !anyDuplicated(s)
  add("size_dependence", name, "stats::cor.test (Spearman exact up to 9 without ties, else t approximation), t.test, wilcox.test", list(volume = v, score = s), list(n = n, spearman_rho = rho, spearman_p = cor.test(v, s, method = "spearman", exact = exact)$p.value, pearson_log_r = unname(r$estimate), r_ci_low = r$conf.int[1], r_ci_high = r$conf.int[2], r_p = r$p.value,
    n_small = length(small), n_large = length(large), difference = mean(large) - mean(small), ci_low = w$conf.int[1], ci_high = w$conf.int[2], welch_t = unname(w$statistic), welch_df = unname(w$parameter), welch_p = w$p.value, mann_whitney_u = unname(u$statistic), mann_whitney_p = u$p.value, exact = grepl("exact", u$method)))
}
for (n in c(4, 5, 8, 9, 10, 98, 100)) { v <- signif(exp(rnorm(n, 3, 1)), 5); size_case(sprintf("n%d_without_ties", n), v, round(plogis(-1 + .5 * log(v) + rnorm(n)), 6)) }
for (n in c(8, 30)) { v <- pmax(1, round(exp(rnorm(n, 3, 1)))); v[2] <- v[1]; size_case(sprintf("n%d_with_ties", n), v, round(plogis(-1 + .5 * log(v) + rnorm(n)), 1)) }
size_case("nine_in_perfect_order", c(2, 3, 5, 7, 11, 13, 17, 19, 23), c(.1, .15, .3, .31, .5, .52, .7, .71, .9))
savings_case <- function(name, n, assisted, unassisted, cluster = NULL, level = .95) {
  e <- rnorm(n, 0, .05); curve <- function(amounts, lift) sapply(amounts, function(m) round(.5 + lift + .08 * log(max(m, 5)) + e + rnorm(n, 0, .02), 4)); A <- curve(assisted, .04); B <- curve(unassisted, 0)
  g <- if (is.null(cluster)) seq_len(n) else as.integer(factor(cluster, unique(cluster))); G <- max(g)
  solve_for <- function(keep) { f <- lm(colMeans(B[keep, , drop = FALSE]) ~ log(unassisted)); unname((colMeans(A[keep, , drop = FALSE]) - coef(f)[1]) / coef(f)[2]) }
  est <- solve_for(rep(TRUE, n)); J <- matrix(sapply(1:G, function(i) solve_for(g != i)), length(assisted)); half <- qt((1 + level) / 2, G - 1) * sqrt((G - 1) / G * rowSums((J - rowMeans(J))^2)); f <- lm(colMeans(B) ~ log(unassisted))
  add("annotation_savings", name, "stats::lm; jackknife by leaving out one subject or cluster at a time", list(a = A, b = B, assisted = I(assisted), unassisted = I(unassisted), cluster = cluster, level = level), list(intercept = unname(coef(f)[1]), slope = unname(coef(f)[2]), equivalent_unassisted = I(exp(est)), ci_low = I(exp(est - half)), ci_high = I(exp(est + half))))
}
savings_case("three_amounts", 15, c(0, 40, 80), c(40, 80, 120)); savings_case("two_amounts_level_90", 12, 40, c(20, 160), NULL, .9); savings_case("clusters", 14, c(20, 40), c(20, 40, 80, 120), I(c(1, 1, 2, 3, 3, 3, 4, 5, 6, 6, 7, 8, 8, 9)))
tost <- function(n, margin, sd, difference, alpha) {   # over the chi distribution of the observed standard deviation
  df <- n - 1; t <- qt(1 - alpha, df); se <- sd / sqrt(n); low <- sqrt(qchisq(1e-17, df) / df); high <- min(margin / (se * t), sqrt(qchisq(1e-17, df, lower.tail = FALSE) / df)); if (high <= low) return(0)
  f <- function(s) dchisq(df * s^2, df) * 2 * df * s * pmax(0, pnorm((margin - difference) / se - t * s) - pnorm((-margin - difference) / se + t * s)); at <- seq(low, high, length.out = 41)
  sum(sapply(1:40, function(i) integrate(f, at[i], at[i + 1], rel.tol = 1e-11)$value))
}
t_power <- function(n, difference, sd, alpha, sides) power.t.test(n = n, delta = difference, sd = sd, sig.level = alpha, type = "paired", alternative = sides, strict = TRUE)$power
t_n <- function(difference, sd, alpha, power, sides) power.t.test(delta = difference, sd = sd, sig.level = alpha, power = power, type = "paired", alternative = sides, strict = TRUE, tol = 1e-9)$n
for (n in c(3, 5, 20, 120)) for (alpha in c(.05, .05 / 18)) add("power", sprintf("difference_n%d_alpha%.4f", n, alpha), "stats::power.t.test, strict", list(test = "difference", sd = 2, n = n, difference = .6, alpha = alpha), t_power(n, .6, 2, alpha, "two.sided"))
for (n in c(5, 40)) add("power", sprintf("noninferiority_n%d", n), "stats::power.t.test, one-sided", list(test = "noninferiority", sd = 4.7, n = n, difference = -.5, margin = 2.5, alpha = .025), t_power(n, 2, 4.7, .025, "one.sided"))
for (n in c(5, 12, 40, 120)) add("power", sprintf("equivalence_n%d", n), "integrated over the chi distribution", list(test = "equivalence", sd = 4.7, n = n, difference = .5, margin = 2.5, alpha = .05), tost(n, 2.5, 4.7, .5, .05))
smallest <- function(reached) { n <- 3; while (!reached(n)) n <- n + 1; n }
for (difference in c(.1, .3, 1.5)) add("sample_size", paste0("difference_", difference), "stats::power.t.test, strict", list(test = "difference", sd = 1, difference = difference, power = .9, alpha = .05 / 18), ceiling(t_n(difference, 1, .05 / 18, .9, "two.sided")))
add("sample_size", "noninferiority", "stats::power.t.test, one-sided", list(test = "noninferiority", sd = 4.7, margin = 2, alpha = .025), ceiling(t_n(2, 4.7, .025, .8, "one.sided")))
add("sample_size", "equivalence", "integrated over the chi distribution", list(test = "equivalence", sd = 4.7, margin = 2, difference = .5), smallest(function(n) tost(n, 2, 4.7, .5, .05) >= .8))
add("sample_size", "width", "stats::qt", list(test = "width", sd = 4.7, ci_width = 1.5), smallest(function(n) 2 * qt(.975, n - 1) * 4.7 / sqrt(n) <= 1.5))
for (p in list(c(.01, .04, .03, .05, .05, 1e-200, 0, 1), c(.02, NA, .5, .001, NA, .04))) add("correct_p", sprintf("%d_tests_%d_missing", length(p), sum(is.na(p))), "stats::p.adjust", list(p = p), lapply(setNames(nm = c("holm", "bonferroni", "hochberg", "BH", "BY")), function(m) I(p.adjust(p, m))))

writeLines(paste0("[\n", paste(vapply(CASES, js, ""), collapse = ",\n"), "\n]"), "cases.json")
