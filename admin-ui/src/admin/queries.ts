import { queryOptions } from "@tanstack/react-query"
import { api, type Page } from "../api"

export type Tenant = {
  id: string
  slug: string
  company_name: string
  owner_email: string
  plan_tier: string
  subscription_status: string
  twilio_phone_number: string | null
  current_month_calls: number
  max_monthly_calls: number | null
}

/** MRR is in US cents. */
export type PlatformStats = { total: number; active: number; trial: number; mrr_cents: number }

export const tenants = {
  all: ["tenants"] as const,
  list: (search: string) =>
    queryOptions({
      queryKey: [...tenants.all, "list", search],
      queryFn: () => api<Page<Tenant>>(`/api/admin/tenants?${new URLSearchParams(search ? { search } : {})}`),
    }),
  stats: () =>
    queryOptions({
      queryKey: [...tenants.all, "stats"],
      queryFn: () => api<PlatformStats>("/api/admin/stats"),
    }),
}
